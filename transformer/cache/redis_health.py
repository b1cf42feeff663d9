"""Knows whether Redis can be used, and probes until it can again.

Reads and writes share one breaker: after a few failed commands in a row Redis counts as down, and no request waits for
it until a background probe succeeds. A Redis that answers but refuses writes (full, read-only replica, no permission)
stays in use for reads.
"""

import asyncio
from collections.abc import Awaitable, Callable

from transformer.cache.state_log import StateLog
from transformer.cache.trouble import LINK_ERRORS, Found, Trouble, trouble_of
from transformer.metrics import RedisMetrics

# After these, reads are refused as well, whatever command met them.
_NOT_READABLE = frozenset({Trouble.CLUSTER, Trouble.CLUSTER_DOWN, Trouble.WRONG_PASSWORD, Trouble.LOADING})


class RedisHealth:
    """Breaker and prober of one Redis, or of one shard of a cluster.

    Attributes:
        readable: whether to read from it.
        writable: whether to write to it.
        trouble: what is wrong; None if nothing is.

    Args:
        probe_read: looks a key up; raises as any command does.
        probe_write: writes a short-lived key; raises as any command does.
        metrics: where state and errors are counted.
        said: where changes of state are logged.
        shard: its ``host:port``; empty for a Redis that is no cluster.
        on_trouble: told whenever a trouble appears or changes.
        failures: failed commands in a row after which Redis counts as down.
        probe_every_s: seconds between two probes while something is wrong.
        probe_timeout_s: seconds a probe may take, connecting included.
    """

    def __init__(  # noqa: PLR0913  # what it is told, what it tells, and three constants
        self,
        *,
        probe_read: Callable[[], Awaitable[object]],
        probe_write: Callable[[], Awaitable[object]],
        metrics: RedisMetrics,
        said: StateLog | None = None,
        shard: str = "",
        on_trouble: Callable[[Trouble], None] = lambda _trouble: None,
        failures: int = 3,
        probe_every_s: float = 0.5,
        probe_timeout_s: float = 2.0,
    ) -> None:
        self._probe_read = probe_read
        self._probe_write = probe_write
        self._metrics = metrics
        self._said = said or StateLog()
        self._shard = shard
        self._on_trouble = on_trouble
        self._failures_allowed = failures
        self._probe_every_s = probe_every_s
        self._probe_timeout_s = probe_timeout_s
        self._failures_in_row = 0
        # Down until the first probe succeeds: a pod that starts without Redis never waits for it.
        self.readable = False
        self.writable = False
        self._wrong = asyncio.Event()
        self._wrong.set()
        self._probed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._found: Found | None = Found(Trouble.STARTING)
        self._ended = False
        self._publish()

    @property
    def trouble(self) -> Trouble | None:
        """What is wrong; None if nothing is."""
        return self._found.trouble if self._found else None

    def start(self) -> None:
        """Start probing."""
        self._task = asyncio.create_task(self._watch(), name="redis-probe")

    async def probed(self) -> None:
        """Wait until the first probe has ended, successful or not."""
        await self._probed.wait()

    async def stop(self) -> None:
        """Stop probing, and drop this shard from the metrics."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._metrics.forget(self._shard)
        self._said.forget(self._shard)

    def succeeded(self) -> None:
        """Take note of a command that worked."""
        self._failures_in_row = 0

    def failed(self, operation: str, error: BaseException) -> None:
        """Take note of a command that did not work.

        Args:
            operation: ``read`` or ``write``.
            error: what the command raised.
        """
        found = trouble_of(error)
        self._metrics.error(operation, found.trouble.value)
        if isinstance(error, LINK_ERRORS):
            self._failures_in_row += 1
            if self._failures_in_row >= self._failures_allowed:
                self._set(readable=False, writable=False, found=found)
        else:
            readable = operation == "write" and self.readable and found.trouble not in _NOT_READABLE
            self._set(readable=readable, writable=False, found=found)

    async def _watch(self) -> None:
        while True:
            await self._wrong.wait()
            await self._try()
            self._probed.set()
            await asyncio.sleep(self._probe_every_s)

    async def _try(self) -> None:
        readable = False
        try:
            async with asyncio.timeout(self._probe_timeout_s):
                await self._probe_read()
                readable = True
                await self._probe_write()
        except Exception as error:  # noqa: BLE001  # no failure may end the prober
            found = trouble_of(error)
            self._metrics.error("probe", found.trouble.value)
            # If a write is refused but answered, reads may go on.
            self._set(readable=readable and not isinstance(error, LINK_ERRORS), writable=False, found=found)
        else:
            self._set(readable=True, writable=True, found=None)

    def _set(self, *, readable: bool, writable: bool, found: Found | None) -> None:
        changed = (readable, writable, found) != (self.readable, self.writable, self._found)
        self.readable, self.writable, self._found = readable, writable, found
        self._failures_in_row = 0
        if self._ended:
            return  # a redirect may come back late from a shard that is gone
        if found is None:
            self._wrong.clear()
        else:
            self._wrong.set()
        if changed:
            self._publish()
            self._said.state(self._shard, found)
            if found is not None:
                self._on_trouble(found.trouble)

    def _publish(self) -> None:
        state = self._found.trouble.value if self._found else "ok"
        self._metrics.state(self._shard, state, readable=self.readable)
