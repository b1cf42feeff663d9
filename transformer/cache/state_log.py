"""Logs the state of Redis, the same line at most once a minute."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import NamedTuple

from transformer.cache.trouble import Found

log = logging.getLogger(__name__)

_QUIET_S = 60.0


class _Line(NamedTuple):
    state: str
    command: str | None


class StateLog:
    """Logs changes of state by shard: each line at once, but the same line at most once in ``quiet_s`` seconds.

    After that time the state that remains is logged, with the number of changes that were not.

    Args:
        quiet_s: seconds between two equal lines.
        clock: monotonic seconds.
    """

    def __init__(self, *, quiet_s: float = _QUIET_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet_s = quiet_s
        self._clock = clock
        self._said_at_s: dict[tuple[str, _Line], float] = {}
        self._now: dict[str, tuple[_Line, Found | None]] = {}
        self._last: dict[str, _Line] = {}
        self._held: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def state(self, shard: str, found: Found | None) -> None:
        """Note a shard's state.

        Args:
            shard: its ``host:port``; empty for a Redis that is no cluster.
            found: its trouble; None if all is well.
        """
        line = _Line(found.trouble.value, found.command) if found else _Line("ok", None)
        self._now[shard] = line, found
        due_s = self._said_at_s.get((shard, line), float("-inf")) + self._quiet_s
        wait_s = due_s - self._clock()
        if wait_s <= 0:
            self._say(shard)
            return
        self._held[shard] = self._held.get(shard, 0) + 1
        if shard not in self._timers:
            self._timers[shard] = asyncio.get_running_loop().call_later(wait_s, self._settle, shard)

    def forget(self, shard: str) -> None:
        """Log nothing more about a shard that is gone."""
        self._now.pop(shard, None)
        timer = self._timers.pop(shard, None)
        if timer is not None:
            timer.cancel()

    def _settle(self, shard: str) -> None:
        self._timers.pop(shard, None)
        if shard in self._now and self._now[shard][0] != self._last.get(shard):
            self._say(shard)

    def _say(self, shard: str) -> None:
        line, found = self._now[shard]
        if len(self._said_at_s) > 1_000:  # shards come and go; their lines need not be kept for ever
            self._said_at_s.clear()
        self._said_at_s[shard, line] = self._clock()
        self._last[shard] = line
        said = f"redis {found.trouble.message}" if found else "redis is ok"
        if line.command is not None:
            said += f": {line.command}"
        log.log(
            logging.WARNING if found else logging.INFO,
            said,
            extra={
                "event": "redis_state",
                "state": line.state,
                "shard": shard or None,
                "changes_not_logged": self._held.pop(shard, 0),
            },
        )
