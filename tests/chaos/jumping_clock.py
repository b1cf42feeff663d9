"""Runs the transformer with a wall clock that jumps: forward a day on SIGUSR1, back two days on SIGUSR2."""

import signal
import sys
import time

_DAY_S = 86_400.0


class _Clock:
    def __init__(self) -> None:
        self.offset_s = 0.0
        self._time = time.time
        self._time_ns = time.time_ns

    def time(self) -> float:
        return self._time() + self.offset_s

    def time_ns(self) -> int:
        return self._time_ns() + int(self.offset_s * 1e9)

    def jump(self, seconds: float) -> None:
        self.offset_s += seconds
        sys.stderr.write(f"the clock jumped by {seconds:.0f} s\n")


if __name__ == "__main__":
    clock = _Clock()
    time.time, time.time_ns = clock.time, clock.time_ns
    signal.signal(signal.SIGUSR1, lambda *_: clock.jump(_DAY_S))
    signal.signal(signal.SIGUSR2, lambda *_: clock.jump(-2 * _DAY_S))
    from transformer.__main__ import main

    main()
