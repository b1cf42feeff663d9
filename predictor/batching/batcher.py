"""Feeds the engine: whatever arrived while it ran is the next batch, at once.

There is no timer. An idle engine takes a single text the moment it arrives; a busy one finds a larger batch when it is
free again. The queue is bounded in tokens, and a request whose turn would come too late is refused on arrival: a long
queue does not speed the engine up, it only makes everyone late and outlasts the rush.
"""

import logging
import math
import threading
import time
from collections.abc import Sequence

import numpy as np

from predictor.batching.fair_queue import FairQueue, Ticket
from predictor.batching.job import Job, Piece
from predictor.engine.base import Engine, Logits
from predictor.errors import (
    DeadlineExceededError,
    InferenceFailedError,
    OverloadedError,
)
from predictor.metrics import Metrics
from serving.errors import DrainingError, ServiceError

log = logging.getLogger(__name__)

_RETRY_AFTER_S = (1, 30)
# An accepted request has to meet its deadline although the speed is an estimate: it may plan this share of its time.
_PLANNED_SHARE = 0.5
_RATE_WEIGHT = 0.2
# Beyond a few hundred tokens a larger batch is no faster per token, and everyone waits for the running one.
_LONGEST_BATCH_S = 0.25
_SMALLEST_BATCH_PART = 8


class Batcher:
    """Owns the queue and the engine's only thread.

    Args:
        engine: called from that thread alone.
        max_batch_tokens: real tokens of one batch; a single longer text still goes, alone.
        max_queue_tokens: tokens that may wait; a request that finds the queue empty is always accepted.
        max_wait_s: longest a request's first text may be expected to wait for its turn.
        tokens_per_s: the engine's speed on a full batch, measured by the warm-up; updated afterwards.
        metrics: where it reports.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        max_batch_tokens: int,
        max_queue_tokens: int,
        max_wait_s: float,
        tokens_per_s: float,
        metrics: Metrics,
    ) -> None:
        self._engine = engine
        self._max_batch_tokens = max_batch_tokens
        self._max_queue_tokens = max_queue_tokens
        self._max_wait_s = max_wait_s
        self._tokens_per_s = tokens_per_s
        self._metrics = metrics
        self._queue: FairQueue[Piece] = FairQueue(quantum_tokens=max(1, max_batch_tokens // 2))
        self._changed = threading.Condition()
        self._reserved_tokens = 0
        self._reserved_first_tokens = 0
        self._running_tokens = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        metrics.queue_age_seconds.set_function(self._oldest_age_s)

    def start(self) -> None:
        """Start the engine's thread."""
        self._thread.start()

    def close(self) -> None:
        """Accept nothing new, finish what is queued, end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def reserve(self, job: Job, *, tokens: int) -> None:
        """Reserve room for about ``tokens`` tokens before ``job`` is tokenised.

        Raises:
            OverloadedError: there is no room, or its turn would come too late.
            DrainingError: the process is shutting down.
        """
        with self._changed:
            self._check_room(job, tokens)
            self._count_reserved(job, tokens)

    def put(self, job: Job) -> None:
        """Queue a tokenised job, or fail it when its real size does not fit."""
        now = time.monotonic()
        with self._changed:
            self._count_reserved(job, 0)
            if job.over:
                return
            try:
                self._check_room(job, job.tokens)
            except ServiceError as error:
                job.fail(error)
                return
            job.queued_s = now
            job.tickets = self._queue.push([(Piece(job, i), len(text.ids)) for i, text in enumerate(job.encoded)])
            self._metrics.queue_tokens.set(self._queue.tokens)
            self._changed.notify()
        self._metrics.tokenise_seconds.observe(now - job.submitted_s)

    def discard(self, job: Job) -> None:
        """Drop a job whose caller has gone or whose time has run out; a forward that already runs is finished."""
        with self._changed:
            job.over = True
            self._count_reserved(job, 0)
            self._queue.discard(job.tickets)
            self._metrics.queue_tokens.set(self._queue.tokens)

    def _oldest_age_s(self) -> float:
        with self._changed:
            since_s = min((piece.job.queued_s for piece in self._queue.waiting()), default=None)
        return 0.0 if since_s is None else time.monotonic() - since_s

    def _count_reserved(self, job: Job, tokens: int) -> None:
        first = self._queue.quantum_tokens  # a short request waits for no more than a large one's first slice
        self._reserved_tokens += tokens - job.reserved_tokens
        self._reserved_first_tokens += min(tokens, first) - min(job.reserved_tokens, first)
        job.reserved_tokens = tokens

    def _check_room(self, job: Job, tokens: int) -> None:
        waiting = self._queue.tokens + self._reserved_tokens
        if self._closing:
            self._metrics.shed.labels("shutting_down").inc()
            raise DrainingError
        if waiting == 0:
            return
        retry_after_s = min(max(math.ceil(waiting / self._tokens_per_s), _RETRY_AFTER_S[0]), _RETRY_AFTER_S[1])
        if waiting + tokens > self._max_queue_tokens:
            self._metrics.shed.labels("queue_full").inc()
            raise OverloadedError(retry_after_s=retry_after_s)
        first = self._running_tokens + self._reserved_first_tokens + self._queue.tokens_before(1)
        last = self._running_tokens + self._reserved_tokens + self._queue.tokens_before(tokens) + tokens
        wait_s, whole_s = first / self._tokens_per_s, last / self._tokens_per_s
        if wait_s > self._max_wait_s or whole_s > (job.deadline_s - time.monotonic()) * _PLANNED_SHARE:
            self._metrics.shed.labels("would_be_late").inc()
            raise OverloadedError("The queue is longer than this request can wait.", retry_after_s=retry_after_s)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            started_s = time.perf_counter()
            lengths = [len(piece.ids) for piece in batch]
            done = [self._forward([batch[index] for index in group]) for group in self._engine.divide(lengths)]
            self._learn_speed(sum(done), time.perf_counter() - started_s)

    def _next_batch(self) -> list[Piece] | None:
        """Wait for texts and take as many as fit; None when closing and the queue is empty."""
        with self._changed:
            self._running_tokens = 0
            while True:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue:
                    return None
                batch = self._in_time(self._queue.pop(budget_tokens=self._budget_tokens()))
                self._metrics.queue_tokens.set(self._queue.tokens)
                if batch:
                    self._running_tokens = sum(len(piece.ids) for piece in batch)
                    return batch

    def _in_time(self, tickets: Sequence[Ticket[Piece]]) -> list[Piece]:
        """Drop what can no longer be answered in time; note when each job's first text is taken."""
        now = time.monotonic()
        batch = []
        for ticket in tickets:
            job = ticket.item.job
            if not job.over and job.deadline_s <= now:
                self._queue.discard(job.tickets)
                self._metrics.shed.labels("deadline").inc()
                job.fail(DeadlineExceededError("The request's time ran out while it waited."))
            if job.over:
                continue
            if not job.started_s:
                job.started_s = now
                self._metrics.queue_seconds.observe(now - job.queued_s)
            batch.append(ticket.item)
        return batch

    def _forward(self, pieces: Sequence[Piece]) -> int:
        """Run one forward and hand out its rows, or find the text that makes it fail; give the tokens it took."""
        pieces = [piece for piece in pieces if not piece.job.over]
        if not pieces:
            return 0
        started_s = time.perf_counter()
        try:
            logits = self._engine.forward([piece.ids for piece in pieces])
        except Exception as error:  # noqa: BLE001 - whatever an engine raises, its thread must survive
            return self._isolate(pieces, error)
        elapsed_s = time.perf_counter() - started_s
        lengths = [len(piece.ids) for piece in pieces]
        self._metrics.inference_seconds.observe(elapsed_s)
        self._metrics.batch_texts.observe(len(pieces))
        self._metrics.batch_tokens.observe(sum(lengths))
        self._metrics.grid_tokens.inc(max(lengths) * len(lengths))
        self._hand_out(pieces, logits, elapsed_s)
        return sum(lengths)

    def _isolate(self, pieces: Sequence[Piece], error: Exception) -> int:
        if len(pieces) > 1:
            middle = len(pieces) // 2
            return self._forward(pieces[:middle]) + self._forward(pieces[middle:])
        log.error("inference failed", extra={"tokens": len(pieces[0].ids)}, exc_info=error)
        self._fail(pieces[0].job)
        return 0

    def _hand_out(self, pieces: Sequence[Piece], logits: Logits, elapsed_s: float) -> None:
        sound = np.asarray(np.isfinite(logits).all(axis=1)).tolist()
        for job in {id(piece.job): piece.job for piece in pieces}.values():
            job.inference_s += elapsed_s
        for piece, row, finite in zip(pieces, logits, sound, strict=True):
            if finite:
                piece.job.complete(piece.index, row)
            else:
                log.error("inference gave no finite number", extra={"tokens": len(piece.ids)})
                self._fail(piece.job)

    def _fail(self, job: Job) -> None:
        job.fail(InferenceFailedError())
        with self._changed:
            self._queue.discard(job.tickets)

    def _budget_tokens(self) -> int:
        """Give the tokens of the next batch: fewer on a slow machine, so that no request waits long behind one."""
        wanted = int(self._tokens_per_s * _LONGEST_BATCH_S)
        return min(max(wanted, self._max_batch_tokens // _SMALLEST_BATCH_PART), self._max_batch_tokens)

    def _learn_speed(self, tokens: int, elapsed_s: float) -> None:
        tokens_per_s = tokens / elapsed_s
        # A small batch is bound by reading the weights: it only shows that the speed is at least this.
        if tokens * 2 >= self._budget_tokens() or tokens_per_s > self._tokens_per_s:
            self._tokens_per_s += _RATE_WEIGHT * (tokens_per_s - self._tokens_per_s)
