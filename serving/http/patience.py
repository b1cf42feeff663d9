"""A connection's deadlines, and the slot that it holds meanwhile."""

import asyncio
from collections.abc import Callable

from serving.http.limits import Deadline, HttpLimits, Slots


class Patience:
    """One connection's.

    Args:
        limits: the deadlines.
        slots: those of all connections.
        clock: the event loop.
        leave: closes the connection, on which nothing is pending.
        give_up: closes it when a request did not come in time.
        abort: closes it at once.

    Attributes:
        is_idle: whether the last answer has been given and nothing has come since.
        idle_since_s: when it was given, on the loop's clock.
    """

    __slots__ = (
        "_abort", "_deadline", "_give_up", "_leave", "_limits", "_now", "_receiving", "_slots", "idle_since_s",
        "is_idle",
    )  # fmt: skip

    def __init__(
        self,
        *,
        limits: HttpLimits,
        slots: Slots,
        clock: asyncio.AbstractEventLoop,
        leave: Callable[[], None],
        give_up: Callable[[], None],
        abort: Callable[[], None],
    ) -> None:
        self._limits = limits
        self._slots = slots
        self._leave = leave
        self._give_up = give_up
        self._abort = abort
        self._deadline = Deadline(clock=clock)
        self._now = clock.time
        self._receiving = False
        self.is_idle = False
        self.idle_since_s = 0.0

    def let_go(self) -> None:
        """Make room for another connection."""
        self._leave()

    def first(self, *, taken: int) -> bool:
        """Wait for a first byte, in a slot; False if all are taken."""
        if not self._slots.take(self, taken=taken):
            return False
        self._deadline.set(self._limits.unused_s, self._leave)
        return True

    def next(self) -> None:
        """Wait for another request."""
        self.idle_since_s = self._now()
        if self.is_idle:
            return  # it was answered at once: only the time has changed
        self.is_idle = True
        self._slots.idle(self)
        self._deadline.set(self._limits.keep_alive_s, self._leave_if_idle)

    def rest(self) -> None:
        """Wait for the rest of a request; the time runs from its first byte, whatever follows."""
        if not self._receiving:
            self._receiving = True
            self._set_busy()
            self._deadline.set(self._limits.receive_s, self._give_up)

    def received(self) -> None:
        """Note that a request is complete: the next one has its own time."""
        self._receiving = False

    def answer(self) -> None:
        """Wait for the service, which has its own deadlines."""
        self._set_busy()
        self._deadline.clear()

    def reader(self) -> None:
        """Wait for a client that does not read its answer."""
        self._set_busy()
        self._deadline.set(self._limits.receive_s, self._abort)

    def read(self) -> None:
        """Note that the client has read enough."""
        self._receiving = False
        self._deadline.clear()

    def end(self, *, unsent: bool) -> None:
        """Wait for a client to take the last answer; longer if some of it is unsent."""
        self._slots.busy(self)
        self._deadline.set(self._limits.receive_s if unsent else self._limits.linger_s, self._abort)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call ``action`` after some seconds instead of what was set before."""
        self._deadline.set(seconds, action)

    def close(self) -> None:
        """Free the slot, and wait for nothing."""
        self._slots.busy(self)
        self._deadline.close()

    def _set_busy(self) -> None:
        self.is_idle = False
        self._slots.busy(self)

    def _leave_if_idle(self) -> None:
        left_s = self.idle_since_s + self._limits.keep_alive_s - self._now()
        if left_s > 0:
            self._deadline.set(left_s, self._leave_if_idle)
        else:
            self._leave()
