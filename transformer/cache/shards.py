"""The second tier: one Redis, or a cluster whose shards each have a budget, a breaker and a queue.

CLUSTER SLOTS tells which. A redirect or a shard in trouble makes this ask again, so that a failover, a new node or a
moving slot is known as soon as the cluster itself knows it.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Iterable, Sequence
from typing import Literal

from redis.exceptions import AuthenticationError, BusyLoadingError, ClusterDownError, ResponseError

from transformer.cache import spread
from transformer.cache.connections import Connections
from transformer.cache.redis_client import Address, RedisClient
from transformer.cache.shard import MakeCache, Shard, Shards
from transformer.cache.shard_client import ShardClient, Target
from transformer.cache.slots import SLOTS, SlotRange, probe_keys, read_slots
from transformer.cache.state_log import StateLog
from transformer.cache.trouble import Found, Trouble
from transformer.metrics import RedisMetrics

log = logging.getLogger(__name__)

Topology = Literal["auto", "single", "cluster"]
_ASK_AGAIN_S = 30.0  # redirects announce nodes that come or go long before this
_LEAST_PAUSE_S = 0.25
_ASK_TIMEOUT_S = 1.0
_UNCOVERED = "uncovered slots"
_PROBE_PREFIX = b"sentiment:1:probe"


class ShardedCache:
    """Values in Redis; never raises and never takes longer than a shard's budget: failures read as absence.

    Args:
        connections: makes pools for the URL and for nodes.
        topology: ``auto`` to find out, else what it is.
        make_cache: makes the cache of one shard.
        metrics: where states and errors are counted.
    """

    def __init__(
        self, *, connections: Connections, topology: Topology, make_cache: MakeCache, metrics: RedisMetrics
    ) -> None:
        self._topology = topology
        self._metrics = metrics
        self._said = StateLog()
        self._makes = Shards(connections=connections, make_cache=make_cache, metrics=metrics, said=self._said)
        self._undecided = topology != "single"
        self._redirected = topology == "cluster"
        self._door = self._make_door()
        self._slots: list[Shard | None] | None = None
        self._shards: dict[Address, Shard] = {}
        self._covered = True
        self._ask_again = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    @property
    def shards(self) -> list[Address]:
        """The cluster's primaries in use; none if Redis is no cluster."""
        return list(self._shards)

    async def start(self, *, wait_s: float) -> None:
        """Start; wait up to ``wait_s`` seconds for a Redis that is up already."""
        self._makes.begin(self._door)
        self._watcher = asyncio.create_task(self._watch(), name="redis-topology")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._door.health.probed()
                await asyncio.gather(*(shard.health.probed() for shard in self._shards.values()))

    async def stop(self, *, flush_s: float) -> None:
        """Write queued values for up to ``flush_s`` seconds, then end everything."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await asyncio.gather(
            *(self._makes.end(shard, flush_s=flush_s) for shard in [self._door, *self._shards.values()])
        )
        await self._makes.ended()

    def fetch(self, keys: Sequence[bytes], *, patient: bool = False) -> Awaitable[list[bytes | None]]:
        """Give the value of every key, None if there is none, ``UNREAD`` if its shard cannot be used now.

        Args:
            keys: what to look up.
            patient: ask whatever the breaker says, and wait longer than the budget: for requests with no other way.
        """
        slots = self._slots
        if slots is None:
            return self._door.cache.fetch(keys, patient=patient)
        return spread.fetch(slots, keys, patient=patient)

    def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        """Queue values for writing, each with its shard."""
        slots = self._slots
        if slots is None:
            self._door.cache.store(values)
            return
        spread.store(slots, values)

    # --- what the URL leads to

    def _make_door(self) -> Shard:
        """Make the shard that stands for the URL: all of Redis, until it turns out to be a cluster."""
        client = self._makes.client()

        async def probe_read() -> None:
            if self._undecided and await self._decide(client):
                return
            await client.probe_read()

        async def probe_write() -> None:
            if self._slots is None:
                await client.probe_write()

        return self._makes.door(
            client, probe_read=probe_read, probe_write=probe_write, on_trouble=self._door_in_trouble
        )

    def _door_in_trouble(self, trouble: Trouble) -> None:
        if trouble is Trouble.CLUSTER and self._topology != "single":
            self._undecided = self._redirected = True

    async def _decide(self, client: RedisClient) -> bool:
        """Find out whether this is a cluster; raises if that cannot be found out now."""
        try:
            said = await client.slots()
        except (AuthenticationError, BusyLoadingError, ClusterDownError):
            raise
        except ResponseError:
            # A user who may not ask learns of a cluster by a redirect; then the refusal is the error to report.
            if self._redirected:
                raise
            self._undecided = False
            return False
        if not said or client.address is None:
            return False  # a node that has joined no cluster yet: the probe shows what it does with keys
        self._adopt(read_slots(said, asked=client.address))
        self._undecided = False
        return True

    def _adopt(self, ranges: Sequence[SlotRange]) -> None:
        """Use a new slot table."""
        keys = probe_keys(ranges, _PROBE_PREFIX)
        before = self._shards
        self._shards = {address: before.get(address) or self._make_shard(address) for address in keys}
        for address, key in keys.items():
            self._shards[address].client.probe_key = key
        slots: list[Shard | None] = [None] * SLOTS
        for first, last, primary in ranges:
            slots[first : last + 1] = [self._shards[primary]] * (last - first + 1)
        first_time, self._slots = self._slots is None, slots
        self._say_coverage(covered=None not in slots)
        for address in self._shards.keys() - before.keys():
            self._makes.begin(self._shards[address])
        for address in before.keys() - self._shards.keys():
            self._makes.leave(before[address])
        if first_time:
            # Its client stays open, to be asked when no shard answers.
            self._makes.leave(self._door, close=False)
        if self._shards.keys() != before.keys():
            log.info(
                "redis is a cluster of %d shards",
                len(self._shards),
                extra={"event": "redis_topology", "shards": sorted(map(str, self._shards))},
            )

    def _say_coverage(self, *, covered: bool) -> None:
        if covered:
            self._metrics.forget(_UNCOVERED)
        else:
            self._metrics.state(_UNCOVERED, Trouble.CLUSTER_DOWN.value, readable=False)
        if covered != self._covered:
            self._covered = covered
            self._said.state(_UNCOVERED, None if covered else Found(Trouble.CLUSTER_DOWN))

    def _make_shard(self, address: Address) -> Shard:
        return self._makes.node(
            address, elsewhere=self._elsewhere, moved=self._has_moved, on_trouble=self._shard_in_trouble
        )

    def _shard_in_trouble(self, _trouble: Trouble) -> None:
        self._ask_again.set()

    def _elsewhere(self, address: Address) -> Target | None:
        client, health, _ = self._shard_at(address)
        return Target(client, health) if isinstance(client, ShardClient) and health.readable else None

    def _shard_at(self, address: Address) -> Shard:
        shard = self._shards.get(address)
        if shard is None:
            shard = self._shards[address] = self._make_shard(address)
            self._makes.begin(shard)
        return shard

    def _has_moved(self, slot: int, address: Address) -> None:
        if self._slots is not None:
            self._slots[slot] = self._shard_at(address)
        self._ask_again.set()

    async def _watch(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_ASK_AGAIN_S):
                    await self._ask_again.wait()
            self._ask_again.clear()
            if self._slots is not None:
                await self._look_round()
                if self._slots is not None and (None in self._slots or self._any_in_trouble()):
                    self._ask_again.set()
            await asyncio.sleep(_LEAST_PAUSE_S)

    def _any_in_trouble(self) -> bool:
        return any(shard.health.trouble is not None for shard in self._shards.values())

    async def _look_round(self) -> None:
        """Ask healthy shards in random order, then the URL, for the slot table."""
        well = [shard.client for shard in self._shards.values() if shard.health.trouble is None]
        random.shuffle(well)
        for client in (*well[:3], self._door.client):
            if client.address is None:
                continue
            try:
                async with asyncio.timeout(_ASK_TIMEOUT_S):
                    said = await client.slots()
                if said:
                    self._adopt(read_slots(said, asked=client.address))
                    return
            except ResponseError as error:
                if self._topology == "auto" and "cluster support disabled" in str(error):
                    self._become_single()
                    return
            except Exception:  # noqa: BLE001, S112  # the next one may know; health reports what is wrong
                continue

    def _become_single(self) -> None:
        """Go on with a single Redis that has replaced the cluster."""
        for shard in self._shards.values():
            self._makes.leave(shard)
        self._makes.leave(self._door)
        self._shards, self._slots, self._redirected = {}, None, False
        self._say_coverage(covered=True)
        self._door = self._make_door()
        self._makes.begin(self._door)
