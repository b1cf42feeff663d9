"""A client of one Redis: look-ups, writes, probes, and the cluster's slot table."""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from transformer.cache.wire import exchange, words

_READING = 4
CONNECTIONS = _READING + 4  # beside the reads a write, a probe and patient look-ups
_PROBE_KEY = b"sentiment:1:probe"
_PROBE_LIFE_MS = 1_000


class Address(NamedTuple):
    """Where a Redis listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """Write ``host:port``."""
        return f"{self.host}:{self.port}"


class RedisClient:
    """The few commands this service needs, over redis-py.

    Args:
        pool: gives connections; raises rather than waits long.
        address: where it leads; None for a unix socket.

    Attributes:
        probe_key: what the probes read and write.
    """

    def __init__(self, *, pool: BlockingConnectionPool, address: Address | None) -> None:
        self.address = address
        self.probe_key = _PROBE_KEY
        self.pool = pool
        self._redis: Redis[bytes] = Redis(connection_pool=pool)
        # Reads keep their connections: in the library, borrowing and returning one costs as much as the look-up itself.
        self._links: list[AbstractConnection] = []

    async def mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Give the value of every key."""
        (reply,) = await self.exchange(words(b"MGET", *keys), 1)
        if isinstance(reply, Exception):
            raise reply
        values: list[bytes | None] = reply
        return values

    async def set_all(self, items: Sequence[tuple[bytes, bytes, int]]) -> None:
        """Write (key, value, life in ms) in one round trip; raises on the first refusal."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for key, value, life_ms in items:
                pipe.set(key, value, px=life_ms)
            await pipe.execute()

    async def probe_read(self) -> None:
        """Look a key up: shows that Redis is up and readable."""
        await self.mget([self.probe_key])

    async def probe_write(self) -> None:
        """Write a key that lives for a second: shows that Redis accepts writes."""
        await self.set_all([(self.probe_key, b"1", _PROBE_LIFE_MS)])

    async def slots(self) -> list[Any]:
        """Give the raw answer to CLUSTER SLOTS; raises if this is no cluster."""
        link = await self.pool.get_connection()
        try:
            await link.send_command("CLUSTER", "SLOTS")
            return await link.read_response(disable_decoding=True)  # type: ignore[no-any-return]
        finally:
            await self.pool.release(link)

    async def exchange(self, sent: bytes, count: int) -> list[Any]:
        """Send commands in one piece; give a reply or an error for each of the ``count``."""
        link = self._links.pop() if self._links else await self.pool.get_connection()
        try:
            try:
                return await exchange(link, sent, count)
            except RedisConnectionError:
                # Once more, at once: the server may have closed it while it was idle.
                return await exchange(link, sent, count)
        finally:
            # One that failed or was given up in the middle is closed by now, and opens again when it is used.
            if len(self._links) < _READING:
                self._links.append(link)
            else:
                await self.pool.release(link)

    async def close(self) -> None:
        """Close all connections."""
        await asyncio.gather(*(link.disconnect(nowait=True) for link in self._links))
        await self.pool.aclose()
