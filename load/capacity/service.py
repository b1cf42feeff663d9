"""Measured service times, and the servers that spend them: an event loop and a batching predictor."""

import dataclasses
import math
from collections import deque
from collections.abc import Callable
from typing import Any

from load.capacity.events import Events

CHARS_PER_TOKEN = 4.5


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTimes:
    """Seconds on one core that the parts of a request cost, from a measurement.

    ``hit_request_s`` is the transformer's part of every request, ``forward_request_s`` what a forwarded one adds,
    ``text_s`` each text of a request. A predictor batch costs ``batch_s`` + ``predict_request_s`` per request +
    ``char_s`` per character of its texts, and ``size_s`` the first time that a pod meets a batch of its size, for which
    kernels are made then (0 in a file from before this was measured). ``redis_forward_s`` is Redis's own CPU time for a
    forwarded request; ``hop_s`` is what an answer waits beside that work on an idle stack, ``forward_hop_s`` what a
    forwarded one waits in addition. ``source`` says what was measured.
    """

    hit_request_s: float
    forward_request_s: float
    text_s: float
    batch_s: float
    predict_request_s: float
    char_s: float
    size_s: float = 0.0
    redis_forward_s: float = 0.0
    hop_s: float = 0.0
    forward_hop_s: float = 0.0
    source: str = ""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "source" and not (value >= 0 and math.isfinite(value)):
                raise ValueError(f"{field.name} must be at least 0, not {value}")

    def with_threads(self, threads: float) -> "ServiceTimes":
        """Give the times of a predictor whose inference runs on ``threads`` cores at once, ideally parallel."""
        return dataclasses.replace(self, char_s=self.char_s / threads)

    def settled(self) -> "ServiceTimes":
        """Give the times of a predictor that has met every size of batch before."""
        return dataclasses.replace(self, size_s=0.0)

    def transformer_s(self, *, texts: int, forwarded: bool) -> float:
        """Transformer CPU seconds of a request."""
        return self.hit_request_s + self.text_s * texts + (self.forward_request_s if forwarded else 0.0)

    def batch_of(self, *, requests: int, chars: int) -> float:
        """Predictor seconds of one batch."""
        return self.batch_s + self.predict_request_s * requests + self.char_s * chars


class Cpu:
    """A core, or a share of it under a CFS quota: after quota x period of work it pauses until the period ends."""

    def __init__(self, *, quota: float | None = None, period_s: float = 0.1, phase_s: float = 0.0) -> None:
        if quota is not None and not 0 < quota <= 1:
            raise ValueError("a quota is a share of one core in (0, 1]")
        self.share = 1.0 if quota is None else quota
        self._quota = quota if quota is not None and quota < 1 else None
        self._period_s = period_s
        self._phase_s = phase_s
        self._period = -1
        self._used_s = 0.0

    def finish_s(self, start_s: float, work_s: float) -> float:
        """Give when work begun at ``start_s`` ends; works must be handed over in time order."""
        if self._quota is None:
            return start_s + work_s
        budget_s = self._quota * self._period_s
        now_s, left_s = start_s, work_s
        while True:
            period = math.floor((now_s - self._phase_s) / self._period_s + 1e-9)
            if period != self._period:
                self._period, self._used_s = period, 0.0
            end_s = self._phase_s + (period + 1) * self._period_s
            step_s = min(left_s, budget_s - self._used_s, max(0.0, end_s - now_s))
            self._used_s += step_s
            left_s -= step_s
            now_s += step_s
            if left_s <= 1e-12:
                return now_s
            now_s = max(now_s, end_s)


class LoopServer:
    """One event loop: work is done one piece after the other."""

    def __init__(self, *, cpu: Cpu | None = None) -> None:
        self._cpu = cpu or Cpu()
        self._free_s = 0.0

    def serve(self, now_s: float, work_s: float) -> float:
        """Queue work at ``now_s``; give when it is done."""
        self._free_s = self._cpu.finish_s(max(now_s, self._free_s), work_s)
        return self._free_s


@dataclasses.dataclass(slots=True)
class _Waiting:
    chars: int
    done: Callable[..., None]
    args: tuple[Any, ...]


def size_of(*, requests: int, chars: int) -> tuple[int, int]:
    """Give the size of a batch as kernels are made for it: tokens and texts, in 16 steps to an octave."""

    def rounded(count: int) -> int:
        step = max(1, (1 << (count.bit_length() - 1)) // 16)
        return -(-count // step) * step

    return rounded(max(1, round(chars / CHARS_PER_TOKEN))), rounded(requests)


class BatchServer:
    """Batches formed while the engine is busy: what waits when it becomes free, up to a budget, is the next batch.

    Defaults are the predictor's, at four and a half characters a token. A request is refused when the queue is full, or
    when it would wait longer than ``max_wait_s``; one that finds the queue empty is always accepted.
    """

    def __init__(
        self,
        *,
        events: Events,
        times: ServiceTimes,
        max_batch_chars: int = 4_600,
        max_queue_chars: int = 295_000,
        max_wait_s: float = 1.5,
        cpu: Cpu | None = None,
    ) -> None:
        self._events = events
        self._times = times
        self._max_batch_chars = max_batch_chars
        self._max_queue_chars = max_queue_chars
        self._max_wait_s = max_wait_s
        self._cpu = cpu or Cpu()
        self._queue: deque[_Waiting] = deque()
        self._queued_chars = self._running_chars = 0
        self._busy = False
        self._sizes: set[tuple[int, int]] = set()

    def submit(self, chars: int, done: Callable[..., None], *args: Any) -> bool:
        """Queue a request of ``chars``; False when it is refused. ``done(*args)`` runs when it is answered."""
        wait_s = (self._running_chars + self._queued_chars) * self._times.char_s / self._cpu.share
        full = self._queued_chars + chars > self._max_queue_chars
        if self._queue and (full or wait_s > self._max_wait_s):
            return False
        self._queue.append(_Waiting(chars, done, args))
        self._queued_chars += chars
        if not self._busy:
            self._start()
        return True

    def _start(self) -> None:
        batch, chars = [self._queue.popleft()], 0
        chars = batch[0].chars
        while self._queue and chars + self._queue[0].chars <= self._max_batch_chars:
            batch.append(self._queue.popleft())
            chars += batch[-1].chars
        self._queued_chars -= chars
        self._running_chars = chars
        self._busy = True
        work_s = self._times.batch_of(requests=len(batch), chars=chars)
        size = size_of(requests=len(batch), chars=chars)
        if size not in self._sizes:
            self._sizes.add(size)
            work_s += self._times.size_s
        self._events.at(self._cpu.finish_s(self._events.now_s, work_s), self._finish, batch)

    def _finish(self, batch: list[_Waiting]) -> None:
        self._busy = False
        self._running_chars = 0
        if self._queue:
            self._start()
        for waiting in batch:
            waiting.done(*waiting.args)
