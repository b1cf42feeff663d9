"""Bounds of a connection, and which one is closed when there are too many.

Who reuses connections, and how long an idle one is kept there by default:

- Envoy (the gateways, and sidecars): an hour;
- Knative's activator and queue-proxy, by Go's transport: 90 s;
- the transformer's own pool to its predictor: 30 s.

Azure's load balancer forgets idle flows after 4 minutes; it stands before the gateway, not before these servers.
``keep_alive_s`` is above them all.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """Bounds of one connection, and of their number.

    Attributes:
        head_bytes: request line and headers, and with them a chunked body's extensions and trailers.
        fields: headers, and trailers.
        receive_s: from a request's first byte to its last; also the longest that a client may leave an answer unread.
        unused_s: until the first byte of a first request.
        keep_alive_s: idle after an answer. Longer than any client in front keeps an idle connection: the side that
            reuses connections must be the one that closes them, or a request may meet a closed one.
        linger_s: after a last answer, so that a client that is still sending can read it.
        connections: open at a time.
    """

    head_bytes: int = 65_536
    fields: int = 128
    receive_s: float = 30.0
    unused_s: float = 120.0
    keep_alive_s: float = 3_900.0
    linger_s: float = 2.0
    connections: int = 10_000


class Idle(Protocol):
    """An idle connection that can be closed.

    Attributes:
        idle_since_s: when its last answer was given, on the loop's clock.
    """

    idle_since_s: float

    def let_go(self) -> None:
        """Close: nothing is under way."""


class Slots:
    """Slots for connections; when all are taken, a new connection replaces an idle one.

    So keeping idle connections for long turns no one away.

    Args:
        most: how many there are.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        # Dicts keep their order: the first has waited longest.
        self._unused: dict[Idle, None] = {}
        self._idle: dict[Idle, float] = {}

    def take(self, connection: Idle, *, taken: int) -> bool:
        """Give a new connection a slot; False if ``taken`` are too many and none of them is idle."""
        if taken > self._most:
            longest = next(iter(self._unused), None) or self._idle_longest()
            if longest is None:
                return False
            self.busy(longest)
            longest.let_go()
        self._unused[connection] = None
        return True

    def idle(self, connection: Idle) -> None:
        """Note that a connection is idle after an answer.

        One that is idle again before the next look need not say so: its ``idle_since_s`` tells.
        """
        self._unused.pop(connection, None)
        self._idle[connection] = connection.idle_since_s

    def busy(self, connection: Idle) -> None:
        """Note that a connection is used, or has ended."""
        self._unused.pop(connection, None)
        self._idle.pop(connection, None)

    def _idle_longest(self) -> Idle | None:
        while self._idle:
            connection, noted_s = next(iter(self._idle.items()))
            if connection.idle_since_s == noted_s:
                return connection
            # It was used since: it goes behind those that were not.
            del self._idle[connection]
            self._idle[connection] = connection.idle_since_s
        return None


class Deadline:
    """A connection's deadline; moved with every request, so moving it later costs no timer.

    Args:
        clock: the event loop.
    """

    __slots__ = ("_action", "_at_s", "_clock", "_rings_s", "_timer")

    def __init__(self, *, clock: asyncio.AbstractEventLoop) -> None:
        self._clock = clock
        self._action: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._at_s = self._rings_s = 0.0

    def set(self, after_s: float, action: Callable[[], None]) -> None:
        """Call ``action`` in ``after_s`` seconds instead of what was set before."""
        self._action = action
        self._at_s = self._clock.time() + after_s
        if self._timer is None or self._rings_s > self._at_s:
            self._wind(after_s)

    def clear(self) -> None:
        """Call nothing."""
        self._action = None

    def close(self) -> None:
        """Call nothing any more, and hold no timer."""
        self._action = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wind(self, after_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s = self._clock.time() + after_s
        self._timer = self._clock.call_later(after_s, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._action is None:
            return
        left_s = self._at_s - self._clock.time()
        # Loops count in milliseconds: a timer may ring that little too early.
        if left_s > 0.002:
            self._wind(left_s)
            return
        action, self._action = self._action, None
        action()
