"""A client of one shard of a cluster: commands slot by slot in one round trip, redirects followed.

The library's own cluster client costs three to ten times the CPU of one MGET (3 and 100 keys); a pipeline on the reads'
own connections costs twice as much, because there are more commands and replies.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from hiredis import PushNotification
from redis._parsers.hiredis import NOT_ENOUGH_DATA
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AskError, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError

from transformer.cache.redis_client import Address, RedisClient
from transformer.cache.redis_health import RedisHealth
from transformer.cache.slots import slot_of
from transformer.cache.tiers import UNREAD

_ASKING = b"*1\r\n$6\r\nASKING\r\n"
_HOPS = 3  # enough for two slots that move at once; a redirect loop ends here
_FOLLOW_S = 0.02  # less than a read's budget: another shard's slowness must not count as this one's
Item = tuple[bytes, bytes, int]


class Target(NamedTuple):
    """Where a redirect leads."""

    client: "ShardClient"
    health: RedisHealth


class ShardClient(RedisClient):
    """`RedisClient` for a cluster's shard.

    Args:
        pool: gives connections.
        address: the shard's.
        elsewhere: gives another shard; None if it cannot be used now.
        moved: told of every slot that a redirect says has moved.
    """

    def __init__(
        self,
        *,
        pool: BlockingConnectionPool,
        address: Address,
        elsewhere: Callable[[Address], Target | None],
        moved: Callable[[int, Address], None],
    ) -> None:
        super().__init__(pool=pool, address=address)
        self._at = address
        self._elsewhere = elsewhere
        self._moved = moved

    async def mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Give the value of every key; ``UNREAD`` where a redirect led nowhere."""
        by_slot: dict[int, list[bytes]] = {}
        for key in keys:
            by_slot.setdefault(slot_of(key), []).append(key)
        groups = list(by_slot.values())
        replies = await self._converse([_mget(group) for group in groups])
        if len(groups) == len(keys) and all(type(reply) is list for reply in replies):
            return [reply[0] for reply in replies]  # nearly always: no two keys in one slot, none moving
        found: dict[bytes, bytes | None] = {}
        redirected: dict[bytes, RedisError] = {}
        for group, reply in zip(groups, replies, strict=True):
            if type(reply) is list:
                found.update(zip(group, reply, strict=True))
            elif isinstance(reply, AskError | TryAgainError):
                redirected.update(dict.fromkeys(group, reply))
            else:
                raise reply
        if redirected:
            commands = [_words(b"MGET", key) for key in redirected]
            answers = await self._follow(commands, list(redirected.values()))
            for key, reply in zip(redirected, answers, strict=True):
                found[key] = reply[0] if type(reply) is list else UNREAD
        return [found[key] for key in keys]

    async def set_all(self, items: Sequence[Item]) -> None:
        """Write (key, value, life in ms) in one round trip; raises on the first refusal."""
        commands = [_words(b"SET", key, value, b"PX", b"%d" % life_ms) for key, value, life_ms in items]
        replies = await self._converse(commands)
        redirected = [n for n, reply in enumerate(replies) if isinstance(reply, AskError | TryAgainError)]
        refused = next((r for r in replies if isinstance(r, Exception) and not isinstance(r, AskError)), None)
        if redirected:
            await self._follow([commands[n] for n in redirected], [replies[n] for n in redirected])
        if refused is not None and not isinstance(refused, TryAgainError):
            raise refused

    async def _follow(self, commands: Sequence[bytes], replies: Sequence[RedisError], hops: int = _HOPS) -> list[Any]:
        """Send commands on one key each to where the replies point; give the last reply of each."""
        last: list[Any] = list(replies)
        by_target: dict[tuple[Address, bool], list[int]] = {}
        for n, reply in enumerate(replies):
            if isinstance(reply, AskError):
                address = Address(reply.host or self._at.host, reply.port)
                asking = not isinstance(reply, MovedError)
                if not asking:
                    self._moved(reply.slot_id, address)
                by_target.setdefault((address, asking), []).append(n)
            elif isinstance(reply, TryAgainError):
                # Some of several keys have moved; asked one by one, each is found.
                by_target.setdefault((self._at, False), []).append(n)
        for (address, asking), numbers in by_target.items():
            sent = [commands[n] for n in numbers]
            if address == self._at:
                answers = await self._converse(sent)
            else:
                answers = await self._ask_elsewhere(address, sent, asking=asking, hops=hops)
            for n, answer in zip(numbers, answers, strict=False):
                last[n] = answer
        return last

    async def _ask_elsewhere(
        self, address: Address, commands: Sequence[bytes], *, asking: bool, hops: int
    ) -> list[Any]:
        """Give another shard's replies; none if they do not come in time."""
        target = self._elsewhere(address)
        if target is None:
            return []
        try:
            async with asyncio.timeout(_FOLLOW_S):
                answers = await target.client._converse(commands, asking=asking)  # noqa: SLF001  # its like
        except Exception as error:  # noqa: BLE001  # that shard's trouble, not this one's
            target.health.failed("read", error)
            return []
        if hops > 1 and any(isinstance(answer, AskError) for answer in answers):
            return await target.client._follow(commands, answers, hops - 1)  # noqa: SLF001
        return answers

    async def _converse(self, commands: Sequence[bytes], *, asking: bool = False) -> list[Any]:
        """Send commands in one piece; give a reply or an error for each."""
        link = await self._lend()
        try:
            sent = b"".join([_ASKING + command for command in commands] if asking else commands)
            count = 2 * len(commands) if asking else len(commands)
            try:
                replies = await _exchange(link, sent, count)
            except RedisConnectionError:
                # Once more, at once: the server may have closed it while it was idle.
                replies = await _exchange(link, sent, count)
            return replies[1::2] if asking else replies
        finally:
            await self._take_back(link)


def _mget(group: Sequence[bytes]) -> bytes:
    if len(group) > 1:
        return _words(b"MGET", *group)
    (key,) = group
    return b"*2\r\n$4\r\nMGET\r\n$%d\r\n%b\r\n" % (len(key), key)


def _words(*words: bytes) -> bytes:
    """Write a command as Redis reads it."""
    return b"*%d\r\n%b" % (len(words), b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words]))


async def _exchange(link: AbstractConnection, sent: bytes, count: int) -> list[Any]:
    if link.is_connected:
        await link.re_auth()  # a new Entra ID token, if one has come
    await link.send_packed_command([sent])
    # One read of the socket brings many replies; taking them one by one through the library costs more than all else.
    parser = link._parser  # noqa: SLF001
    gets = parser._reader.gets  # noqa: SLF001
    replies: list[Any] = []
    try:
        while len(replies) < count:
            reply = gets(False)  # noqa: FBT003  # the reader's own signature
            if reply is NOT_ENOUGH_DATA:
                await parser.read_from_socket()
            elif type(reply) is PushNotification:
                await parser.handle_push_response(reply)
            elif isinstance(reply, RedisConnectionError):
                raise reply  # noqa: TRY301  # as the library does
            else:
                replies.append(reply)
    except BaseException as error:
        # Its late replies would be taken for answers to later commands.
        await link.disconnect(nowait=True)
        if isinstance(error, OSError):
            raise RedisConnectionError("the connection broke") from error
        raise
    return replies
