"""Knows whether Redis can be used, and finds out by itself when it can again.

Reads and writes share what they learn: after a few failed commands in a row Redis counts as away, and nobody waits for
it until a probe in the background gets through. A Redis that answers but takes no writes (full, read-only replica, no
permission) stays in use for reads.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from transformer.metrics import RedisMetrics

log = logging.getLogger(__name__)

# A broken or refused link, in whichever layer's words. OSError covers TLS and DNS errors.
LINK_ERRORS = (RedisConnectionError, TimeoutError, OSError, asyncio.IncompleteReadError)


def reason_of(error: BaseException) -> str:
    """Name an error for a metric label: few values, no text of the server's."""
    if isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower():
        return "timeout"
    if isinstance(error, LINK_ERRORS):
        return "auth" if "auth" in type(error).__name__.lower() else "connection"
    return "refused" if isinstance(error, RedisError) else "other"


class RedisHealth:
    """Breaker and prober of one Redis.

    Args:
        probe: writes a short-lived key; raises as any command does.
        metrics: where state and errors are counted.
        failures: failed commands in a row after which Redis counts as away.
        probe_every_s: seconds between two probes while something is wrong.
        probe_timeout_s: seconds a probe may take, connecting included.
    """

    def __init__(
        self,
        *,
        probe: Callable[[], Awaitable[object]],
        metrics: RedisMetrics,
        failures: int = 3,
        probe_every_s: float = 0.5,
        probe_timeout_s: float = 2.0,
    ) -> None:
        self._probe = probe
        self._metrics = metrics
        self._failures_allowed = failures
        self._probe_every_s = probe_every_s
        self._probe_timeout_s = probe_timeout_s
        self._failures_in_row = 0
        # Away until the first probe says otherwise: a pod that starts without Redis never waits for it.
        self.readable = False
        self.writable = False
        self._wrong = asyncio.Event()
        self._wrong.set()
        self._probed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._publish()

    async def start(self, *, wait_s: float) -> None:
        """Start probing; wait up to ``wait_s`` seconds for a Redis that is there already."""
        self._task = asyncio.create_task(self._watch(), name="redis-probe")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._probed.wait(), wait_s)

    async def stop(self) -> None:
        """Stop probing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def succeeded(self) -> None:
        """Take note of a command that worked."""
        self._failures_in_row = 0

    def failed(self, operation: str, error: BaseException) -> None:
        """Take note of a command that did not work.

        Args:
            operation: ``read`` or ``write``.
            error: what the command raised.
        """
        self._metrics.error(operation, reason_of(error))
        if isinstance(error, LINK_ERRORS):
            self._failures_in_row += 1
            if self._failures_in_row >= self._failures_allowed:
                self._set(readable=False, writable=False, error=error)
        elif operation == "write":
            self._set(readable=self.readable, writable=False, error=error)
        else:
            self._set(readable=False, writable=False, error=error)

    async def _watch(self) -> None:
        while True:
            await self._wrong.wait()
            await self._try()
            self._probed.set()
            await asyncio.sleep(self._probe_every_s)

    async def _try(self) -> None:
        try:
            async with asyncio.timeout(self._probe_timeout_s):
                await self._probe()
        except LINK_ERRORS as error:
            self._metrics.error("probe", reason_of(error))
            self._set(readable=False, writable=False, error=error)
        except ResponseError as error:
            # It answers, so reads may go on; what it refuses is the write.
            self._metrics.error("probe", reason_of(error))
            self._set(readable=True, writable=False, error=error)
        except Exception as error:  # noqa: BLE001  # nothing a probe meets may end the prober
            self._metrics.error("probe", reason_of(error))
            self._set(readable=False, writable=False, error=error)
        else:
            self._set(readable=True, writable=True, error=None)

    def _set(self, *, readable: bool, writable: bool, error: BaseException | None) -> None:
        changed = (readable, writable) != (self.readable, self.writable)
        self.readable, self.writable = readable, writable
        self._failures_in_row = 0
        if readable and writable:
            self._wrong.clear()
        else:
            self._wrong.set()
        if changed:
            self._publish()
            state = "ok" if writable else "read-only" if readable else "away"
            log.log(
                logging.INFO if writable else logging.WARNING,
                "redis is %s",
                state,
                extra={"event": "redis_state", "state": state, "reason": reason_of(error) if error else None},
            )

    def _publish(self) -> None:
        self._metrics.state(degraded=not (self.readable and self.writable), breaker_open=not self.readable)
