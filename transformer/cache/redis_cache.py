"""The second tier in Redis: look-ups batched into few round trips under a hard time budget, writes after the answer."""

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Awaitable, Iterable, Sequence
from typing import Protocol

from transformer.cache.look_up import LookUp, Part, Values
from transformer.cache.redis_health import RedisHealth
from transformer.cache.tiers import UNREAD
from transformer.cache.trouble import trouble_of
from transformer.metrics import RedisMetrics

_MOST_KEYS_A_READ = 1_000  # keeps one command below a millisecond on Redis's single thread
_MOST_KEYS_A_WRITE = 500
_WRITE_TIMEOUT_S = 1.0
_PATIENCE_S = 1.0
_ONE_MORE_TICK_S = 0.002


class RedisCommands(Protocol):
    """A Redis client as needed here; errors are redis-py's."""

    async def mget(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Give the value of every key."""

    async def set_all(self, items: Sequence[tuple[bytes, bytes, int]]) -> None:
        """Write (key, value, life in ms) in one round trip; raises on the first refusal."""


class RedisCache:
    """Values in Redis. Never raises and never takes longer than the budget: failures read as absence.

    All look-ups of one event-loop tick leave as one MGET; while enough are in flight, later look-ups are collected.

    Args:
        commands: the client.
        health: whether Redis can be used now.
        metrics: round-trip times and losses.
        budget_s: longest a look-up may wait, in seconds.
        ttl_s: life of a value in seconds, varied by ± 10 % so that they do not all expire at once.
        queue_values: most values that wait to be written; more are dropped.
        reads_under_way: most round trips in flight; later look-ups are collected for the next.
    """

    def __init__(
        self,
        *,
        commands: RedisCommands,
        health: RedisHealth,
        metrics: RedisMetrics,
        budget_s: float,
        ttl_s: int,
        queue_values: int = 10_000,
        reads_under_way: int = 2,
    ) -> None:
        self._commands = commands
        self._health = health
        self._metrics = metrics
        self._budget_s = budget_s
        self._ttl_ms = ttl_s * 1_000
        self._waiting: list[LookUp | Part] = []
        self._reads: set[asyncio.Task[None]] = set()
        self._reads_under_way = reads_under_way
        self._send_scheduled = False
        self._unwritten: deque[tuple[bytes, bytes, int]] = deque()
        self._queue_values = queue_values
        self._write_wanted = asyncio.Event()
        self._all_written = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start writing in the background."""
        self._writer = asyncio.create_task(self._write_forever(), name="redis-writer")

    async def stop(self, *, flush_s: float) -> None:
        """Write queued values for up to ``flush_s`` seconds, then stop."""
        if self._unwritten and self._health.writable:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._all_written.wait(), flush_s)
        tasks = [*self._reads, *([self._writer] if self._writer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def fetch(self, keys: Sequence[bytes], *, patient: bool = False) -> Awaitable[list[bytes | None]]:
        """Give the value of every key, None if there is none, ``UNREAD`` if Redis cannot be used now.

        Args:
            keys: what to look up.
            patient: ask whatever the breaker says, and wait longer than the budget: for requests with no other way.
        """
        if patient:
            return self._fetch_patiently(keys)
        look_up = LookUp(keys)
        if not self.ask(look_up):
            look_up.answer({})
        return look_up.done

    def ask(self, look_up: LookUp | Part) -> bool:
        """Look keys up together with those of other requests; False if Redis cannot be used now."""
        if not self._health.readable:
            return False
        self._waiting.append(look_up)
        if not self._send_scheduled and len(self._reads) < self._reads_under_way:
            self._send_scheduled = True
            asyncio.get_running_loop().call_soon(self._send)
        return True

    async def _fetch_patiently(self, keys: Sequence[bytes]) -> list[bytes | None]:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await self._commands.mget(keys)
        except Exception as error:  # noqa: BLE001  # whatever Redis or its client does, the request goes on
            self._metrics.error("read", trouble_of(error).trouble.value)
            return [UNREAD] * len(keys)

    def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        """Queue values for writing; drops them while Redis takes no writes or the queue is full."""
        if not self._health.writable:
            return
        for key, value in values:
            if len(self._unwritten) >= self._queue_values:
                self._metrics.error("write", "queue_full")
                return
            life_ms = int(self._ttl_ms * random.uniform(0.9, 1.1))  # noqa: S311  # spreads expiry, guards nothing
            self._unwritten.append((key, value, life_ms))
        self._all_written.clear()
        self._write_wanted.set()

    def _send(self) -> None:
        self._send_scheduled = False
        batch: list[LookUp | Part] = []
        keys: dict[bytes, None] = {}
        while self._waiting and (not batch or len(keys) + len(self._waiting[0].keys) <= _MOST_KEYS_A_READ):
            look_up = self._waiting.pop(0)
            batch.append(look_up)
            keys.update(dict.fromkeys(look_up.keys))
        if not batch:
            return
        task = asyncio.get_running_loop().create_task(self._read(batch, list(keys)))
        self._reads.add(task)
        task.add_done_callback(self._read_ended)

    def _read_ended(self, task: asyncio.Task[None]) -> None:
        self._reads.discard(task)
        if self._waiting and not self._send_scheduled:
            self._send_scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    async def _read(self, batch: Sequence[LookUp | Part], keys: Sequence[bytes]) -> None:
        values: Values = {}
        started = time.perf_counter()
        # After the kernel has paused this process, the timer is due and the answer may be waiting. The loop runs timers
        # first and would discard an answer that came in time: let it read the sockets once more.
        loop = asyncio.get_running_loop()
        this = asyncio.current_task()
        assert this is not None  # noqa: S101  # it runs as one
        due = loop.call_later(self._budget_s, lambda: loop.call_later(_ONE_MORE_TICK_S, this.cancel))
        try:
            values = dict(zip(keys, await self._commands.mget(keys), strict=True))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, the request goes on
            self._health.failed("read", TimeoutError() if isinstance(error, asyncio.CancelledError) else error)
            # Those queued behind a stuck command have waited long enough.
            batch = [*batch, *self._waiting]
            self._waiting.clear()
        else:
            self._health.succeeded()
        finally:
            due.cancel()
            self._metrics.took("read", time.perf_counter() - started)
            for look_up in batch:
                look_up.answer(values)

    async def _write_forever(self) -> None:
        while True:
            await self._write_wanted.wait()
            if not self._unwritten:
                self._all_written.set()
                self._write_wanted.clear()
                continue
            batch = [self._unwritten.popleft() for _ in range(min(_MOST_KEYS_A_WRITE, len(self._unwritten)))]
            started = time.perf_counter()
            try:
                async with asyncio.timeout(_WRITE_TIMEOUT_S):
                    await self._commands.set_all(batch)
            except Exception as error:  # noqa: BLE001  # a lost write costs a later hit, nothing else
                self._health.failed("write", error)
                if not self._health.writable:
                    self._unwritten.clear()
            else:
                self._health.succeeded()
            self._metrics.took("write", time.perf_counter() - started)
