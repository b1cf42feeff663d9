"""What the transformer serves: the pipeline's answers as every protocol sees them."""

import time
from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np

from serving.http.reply import JSON, Headers, Reply
from serving.oip.tensors import Tensors, described_input, described_outputs
from serving.schema import RequestSchema
from serving.scores import ScoresAre
from serving.service import Inferred, Service
from transformer.pipeline.pipeline import Classified, Pipeline

_OUTCOMES = {outcome: outcome.encode() for outcome in ("hit", "miss", "partial")}


class TransformerService(Service):
    """Answers from memory where that has every text, else through the pipeline.

    Args:
        name: the model's name in routes.
        pipeline: classifies texts.
        schema: checks them.
    """

    def __init__(self, *, name: str, pipeline: Pipeline, schema: RequestSchema) -> None:
        self.name = name
        self.schema = schema
        self._pipeline = pipeline

    @property
    def version(self) -> str | None:
        """The current model version; None while unknown."""
        model = self._pipeline.model
        return model.version if model else None

    @property
    def scores_are(self) -> ScoresAre | None:
        """What its scores are; None before anybody has said."""
        model = self._pipeline.model
        return model.scores_are if model else None

    def metadata(self) -> dict[str, Any]:
        """Give OIP model metadata; the number of labels is known once the predictor has answered."""
        model = self._pipeline.model
        return {
            "name": self.name,
            "versions": [model.version] if model else [],
            "platform": "sentiment-transformer",
            "inputs": described_input(),
            "outputs": described_outputs(len(model.labels) if model else -1),
        }

    def predict(self, texts: Sequence[str], headers: Headers, *, started: float) -> Reply | Coroutine[Any, Any, Reply]:
        """Answer with all labels of every text, best first; see ``Service``."""
        classified = self._pipeline.recall(texts)
        if classified is None:
            return self._predict(texts, headers, started)
        return _reply(classified, started)

    def infer(
        self, texts: Sequence[str], headers: Headers, *, started: float
    ) -> Inferred | Coroutine[Any, Any, Inferred]:
        """Answer in tensors; see ``Service``."""
        classified = self._pipeline.recall(texts)
        if classified is None:
            return self._infer(texts, headers, started)
        return _inferred(classified, started)

    async def _predict(self, texts: Sequence[str], headers: Headers, started: float) -> Reply:
        return _reply(await self._pipeline.classify(texts, headers), started)

    async def _infer(self, texts: Sequence[str], headers: Headers, started: float) -> Inferred:
        return _inferred(await self._pipeline.classify(texts, headers), started)


def _reply(classified: Classified, started: float) -> Reply:
    content = b'{"predictions":[' + b",".join([answer.json for answer in classified.answers]) + b"]}"
    headers = _headers(classified, started)
    headers.append(JSON)
    return Reply(200, headers, content, classified.outcome)


def _inferred(classified: Classified, started: float) -> Inferred:
    model = classified.model
    answers = classified.answers
    scores = np.array([answer.scores() for answer in answers], dtype=np.float32)
    truncated = [index for index, answer in enumerate(answers) if answer.truncated]
    tensors = Tensors(model.version, model.labels, scores, truncated, model.scores_are)
    return Inferred(tensors, _headers(classified, started), classified.outcome)


def _headers(classified: Classified, started: float) -> Headers:
    headers = [
        (b"x-cache", _OUTCOMES[classified.outcome]),
        (b"x-model-version", classified.model.version_header),
        (b"server-timing", b"lookup;dur=%.3f, predict;dur=%.3f, total;dur=%.3f" % (
            classified.lookup_s * 1000, classified.predict_s * 1000, (time.perf_counter() - started) * 1000,
        )),
    ]  # fmt: skip
    if truncated := classified.truncated:
        headers.append((b"x-truncated", b"%d" % truncated))
    return headers
