"""One request on its way through tokeniser and engine, and the answer that its caller awaits."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from predictor.batching.fair_queue import Ticket
from predictor.batching.scores import Scores, scores_of
from predictor.checkpoint.tokenizer import Encoded
from predictor.engine.base import Logits
from serving.errors import ServiceError
from serving.scores import ScoresAre


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Where a request's time went, in seconds."""

    tokenise_s: float
    queue_s: float
    inference_s: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Scores float32 [texts, labels], and the indices of texts that were cut."""

    scores: Scores
    truncated: tuple[int, ...]
    timing: Timing


@dataclass(eq=False, kw_only=True)
class Job:
    """Texts that are answered together. It passes through three threads; only the one that holds it writes to it."""

    texts: Sequence[str]
    deadline_s: float
    future: asyncio.Future[Answer]
    scores_are: ScoresAre = "softmax"
    submitted_s: float = field(default_factory=time.monotonic)
    encoded: list[Encoded] = field(default_factory=list)
    tickets: list[Ticket["Piece"]] = field(default_factory=list)
    rows: dict[int, Logits] = field(default_factory=dict)
    reserved_tokens: int = 0
    queued_s: float = 0.0
    started_s: float = 0.0
    inference_s: float = 0.0
    over: bool = False

    @property
    def tokens(self) -> int:
        """Token ids of all its texts together."""
        return sum(len(text.ids) for text in self.encoded)

    def complete(self, index: int, logits: Logits) -> None:
        """Take one text's logits [labels]; the last one completes the answer."""
        self.rows[index] = logits
        if len(self.rows) == len(self.texts) and not self.over:
            self._finish(result=self._answer())

    def fail(self, error: ServiceError) -> None:
        """Answer with ``error`` unless it is answered already."""
        if not self.over:
            self._finish(error=error)

    def _answer(self) -> Answer:
        timing = Timing(
            tokenise_s=self.queued_s - self.submitted_s,
            queue_s=self.started_s - self.queued_s,
            inference_s=self.inference_s,
        )
        return Answer(
            scores=scores_of(np.stack([self.rows[index] for index in range(len(self.texts))]), self.scores_are),
            truncated=tuple(index for index, text in enumerate(self.encoded) if text.truncated),
            timing=timing,
        )

    def _finish(self, *, result: Answer | None = None, error: ServiceError | None = None) -> None:
        self.over = True
        loop = self.future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._resolve, result, error)

    def _resolve(self, result: Answer | None, error: ServiceError | None) -> None:
        if self.future.done():
            return
        if error is not None:
            self.future.set_exception(error)
        elif result is not None:
            self.future.set_result(result)


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """One text of a job."""

    job: Job
    index: int

    @property
    def ids(self) -> NDArray[np.int32]:
        """Its token ids, shape [tokens]."""
        return self.job.encoded[self.index].ids
