"""The predictor's one operation: texts in, scores out, before a deadline."""

import asyncio
import time
from collections.abc import Sequence

from predictor.batching.batcher import Batcher
from predictor.batching.job import Answer, Job
from predictor.batching.tokenising import TokenisingThread
from predictor.errors import DeadlineExceededError
from predictor.metrics import Metrics
from serving.scores import ScoresAre

# English has four to five characters a token; the true number is known once the text is tokenised.
_CHARS_PER_TOKEN = 4
_SPECIAL_TOKENS = 2


class Classifier:
    """Classifies texts without ever computing on the event loop.

    Args:
        tokenising: the first thread a request passes through.
        batcher: the second.
        max_length_tokens: where texts are cut; bounds the estimate of a request's size.
        metrics: where it reports.
        scores_are: how logits become scores.
    """

    def __init__(
        self,
        *,
        tokenising: TokenisingThread,
        batcher: Batcher,
        max_length_tokens: int,
        metrics: Metrics,
        scores_are: ScoresAre = "softmax",
    ) -> None:
        self._tokenising = tokenising
        self._batcher = batcher
        self._max_length_tokens = max_length_tokens
        self._metrics = metrics
        self._scores_are = scores_are

    async def classify(self, texts: Sequence[str], *, time_left_s: float) -> Answer:
        """Give the scores of ``texts``, in order.

        When the caller is cancelled, or the time runs out, the texts are dropped before they cost a forward.

        Raises:
            OverloadedError: no room, or the turn would come too late.
            DeadlineExceededError: the time ran out.
            InferenceFailedError: the engine failed on one of these texts.
            DrainingError: the process is shutting down.
        """
        loop = asyncio.get_running_loop()
        job = Job(
            texts=texts,
            deadline_s=time.monotonic() + time_left_s,
            future=loop.create_future(),
            scores_are=self._scores_are,
        )
        self._batcher.reserve(job, tokens=self._estimate(texts))
        self._tokenising.put(job)
        timer = loop.call_later(time_left_s, self._expire, job)
        try:
            answer = await job.future
        finally:
            timer.cancel()
            if not job.over:
                self._metrics.shed.labels("client_gone").inc()
                self._batcher.discard(job)
        self._metrics.texts.inc(len(texts))
        if answer.truncated:
            self._metrics.truncated_texts.inc(len(answer.truncated))
        return answer

    def close(self) -> None:
        """Let both threads finish their work and end them."""
        self._tokenising.close()
        self._batcher.close()

    def _expire(self, job: Job) -> None:
        if not job.over:
            self._metrics.shed.labels("deadline").inc()
            self._batcher.discard(job)
            job.future.set_exception(DeadlineExceededError())

    def _estimate(self, texts: Sequence[str]) -> int:
        return sum(min(self._max_length_tokens, len(text) // _CHARS_PER_TOKEN + _SPECIAL_TOKENS) for text in texts)
