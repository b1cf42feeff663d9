"""One Redis, or one shard, with its client, breaker and queues; how shards are made, started and ended."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from transformer.cache.connections import Connections
from transformer.cache.redis_cache import RedisCache
from transformer.cache.redis_client import Address, RedisClient
from transformer.cache.redis_health import RedisHealth
from transformer.cache.shard_client import ShardClient, Target
from transformer.cache.state_log import StateLog
from transformer.cache.trouble import Trouble
from transformer.metrics import RedisMetrics

# Round trips in flight. Shards are asked side by side: one at a time to each saves a third of the trips under load.
_OF_ONE_REDIS, _OF_A_SHARD = 2, 1
Probe = Callable[[], Coroutine[Any, Any, None]]
MakeCache = Callable[..., RedisCache]
"""Makes a shard's cache, not started, from ``commands``, ``health`` and ``reads_under_way``."""


class Shard(NamedTuple):
    """A client, its health, and the queues in front of it."""

    client: RedisClient
    health: RedisHealth
    cache: RedisCache


class Shards:
    """Makes shards, starts them, ends them.

    Args:
        connections: makes pools for the URL and for nodes.
        make_cache: makes the cache of one shard.
        metrics: where states and errors are counted.
        said: where changes of state are logged.
    """

    def __init__(
        self, *, connections: Connections, make_cache: MakeCache, metrics: RedisMetrics, said: StateLog
    ) -> None:
        self._connections = connections
        self._make_cache = make_cache
        self._metrics = metrics
        self._said = said
        self._leaving: set[asyncio.Task[None]] = set()

    def client(self) -> RedisClient:
        """Make a client for the URL's own address."""
        return RedisClient(pool=self._connections.pool(), address=self._connections.address)

    def door(
        self, client: RedisClient, *, probe_read: Probe, probe_write: Probe, on_trouble: Callable[[Trouble], None]
    ) -> Shard:
        """Make the shard that stands for the URL."""
        return self._shard(client, "", probe_read, probe_write, on_trouble)

    def node(
        self,
        address: Address,
        *,
        elsewhere: Callable[[Address], Target | None],
        moved: Callable[[int, Address], None],
        on_trouble: Callable[[Trouble], None],
    ) -> Shard:
        """Make the shard of a cluster's primary."""
        pool = self._connections.pool(address)
        client = ShardClient(pool=pool, address=address, elsewhere=elsewhere, moved=moved)
        return self._shard(
            client, str(address), client.probe_read, client.probe_write, on_trouble, reads_under_way=_OF_A_SHARD
        )

    def _shard(
        self,
        client: RedisClient,
        name: str,
        probe_read: Probe,
        probe_write: Probe,
        on_trouble: Callable[[Trouble], None],
        *,
        reads_under_way: int = _OF_ONE_REDIS,
    ) -> Shard:
        health = RedisHealth(
            probe_read=probe_read,
            probe_write=probe_write,
            metrics=self._metrics,
            said=self._said,
            shard=name,
            on_trouble=on_trouble,
        )
        cache = self._make_cache(commands=client, health=health, reads_under_way=reads_under_way)
        return Shard(client, health, cache)

    @staticmethod
    def begin(shard: Shard) -> None:
        """Start a shard's work in the background."""
        shard.cache.start()
        shard.health.start()

    def leave(self, shard: Shard, *, close: bool = True) -> None:
        """End a shard in the background; without ``close`` its client stays open."""
        task = asyncio.get_running_loop().create_task(self.end(shard, flush_s=0.0, close=close))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def end(self, shard: Shard, *, flush_s: float, close: bool = True) -> None:
        """End a shard; write queued values for up to ``flush_s`` seconds."""
        await shard.cache.stop(flush_s=flush_s)
        await shard.health.stop()
        if close:
            await shard.client.close()
            self._connections.forget(shard.client.pool)

    async def ended(self) -> None:
        """Wait for those that are leaving."""
        await asyncio.gather(*self._leaving, return_exceptions=True)
