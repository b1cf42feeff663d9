"""A client of one shard of a cluster: commands slot by slot in one round trip, redirects followed.

The library's own cluster client costs three to ten times the CPU of one MGET (3 and 100 keys); a pipeline on the reads'
own connections costs twice as much, because there are more commands and replies.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool
from redis.exceptions import AskError, MovedError, RedisError

from transformer.cache.redis_client import Address, RedisClient
from transformer.cache.redis_health import RedisHealth
from transformer.cache.tiers import UNREAD
from transformer.cache.wire import words

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
        replies = await self.exchange(_mgets(keys), len(keys))
        try:
            return [value for (value,) in replies]  # as nearly always: no error among them
        except TypeError:
            return await self._followed(keys, replies)

    async def _followed(self, keys: Sequence[bytes], replies: Sequence[Any]) -> list[bytes | None]:
        """Give what replies say, and where one points elsewhere what is said there."""
        redirected = [n for n, reply in enumerate(replies) if isinstance(reply, AskError)]
        refused = next((r for r in replies if isinstance(r, Exception) and not isinstance(r, AskError)), None)
        if refused is not None:
            raise refused
        found = [reply[0] if type(reply) is list else UNREAD for reply in replies]
        commands = [words(b"MGET", keys[n]) for n in redirected]
        answers = await self._follow(commands, [replies[n] for n in redirected])
        for n, answer in zip(redirected, answers, strict=True):
            found[n] = answer[0] if type(answer) is list else UNREAD
        return found

    async def set_all(self, items: Sequence[Item]) -> None:
        """Write (key, value, life in ms) in one round trip; raises on the first refusal."""
        commands = [words(b"SET", key, value, b"PX", b"%d" % life_ms) for key, value, life_ms in items]
        replies = await self._converse(commands)
        redirected = [n for n, reply in enumerate(replies) if isinstance(reply, AskError)]
        refused = next((r for r in replies if isinstance(r, Exception) and not isinstance(r, AskError)), None)
        if redirected:
            await self._follow([commands[n] for n in redirected], [replies[n] for n in redirected])
        if refused is not None:
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
        if not asking:
            return await self.exchange(b"".join(commands), len(commands))
        sent = b"".join([_ASKING + command for command in commands])
        return (await self.exchange(sent, 2 * len(commands)))[1::2]


def _mgets(keys: Sequence[bytes]) -> bytes:
    """Write an MGET for each key: keys in one slot are so few that it does not pay to look for them."""
    length = len(keys[0])
    if any(len(key) != length for key in keys):
        return b"".join([words(b"MGET", key) for key in keys])
    opening = b"*2\r\n$4\r\nMGET\r\n$%d\r\n" % length
    return b"%b%b\r\n" % (opening, (b"\r\n" + opening).join(keys))
