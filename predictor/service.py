"""What the predictor serves: its classifier as every protocol sees it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from predictor.batching.classifier import Classifier
from predictor.batching.job import Answer
from predictor.loading import LoadedModel
from serving.foreign import whole_number
from serving.http.reply import JSON, Headers, Reply
from serving.oip.tensors import Tensors, described_input, described_outputs
from serving.schema import RequestSchema
from serving.service import TIMEOUT, Inferred, Service


class PredictorService(Service):
    """Classifies every request's texts within its deadline.

    Args:
        name: the model's name in routes.
        loaded: the model.
        classifier: scores texts.
        schema: checks them.
        deadline_s: longest a request may take; a request may state less.
    """

    def __init__(
        self, *, name: str, loaded: LoadedModel, classifier: Classifier, schema: RequestSchema, deadline_s: float
    ) -> None:
        self.name = name
        self.schema = schema
        self._loaded = loaded
        self._labels = loaded.checkpoint.config.labels
        self._scores_are = loaded.checkpoint.config.scores_are
        self._classifier = classifier
        self._deadline_s = deadline_s

    @property
    def version(self) -> str:
        """The model version that is served."""
        return self._loaded.version

    def metadata(self) -> dict[str, Any]:
        """Give OIP model metadata; ``properties`` holds strings only."""
        engine = self._loaded.engine
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": f"{engine.name}-{engine.precision}",
            "inputs": described_input(),
            "outputs": described_outputs(len(self._labels)),
            "properties": {
                "labels": orjson.dumps(list(self._labels)).decode(),
                "scores_are": self._scores_are,
                "max_length_tokens": str(self._loaded.max_length_tokens),
                "max_texts": str(self.schema.max_texts),
                "max_text_chars": str(self.schema.max_text_chars),
                "precision": engine.precision,
                "arithmetic": engine.arithmetic,
                "engine": engine.name,
                "threads": str(engine.threads),
            },
        }

    async def predict(self, texts: Sequence[str], headers: Headers, *, started: float) -> Reply:  # noqa: ARG002
        """Answer in V1's form; see ``Service``."""
        answer = await self._classify(texts, headers)
        return Reply(200, [JSON, *self._headers(answer)], write_predictions(answer, self._labels))

    async def infer(self, texts: Sequence[str], headers: Headers, *, started: float) -> Inferred:  # noqa: ARG002
        """Answer in tensors; see ``Service``."""
        answer = await self._classify(texts, headers)
        tensors = Tensors(self.version, self._labels, answer.scores, answer.truncated, self._scores_are)
        return Inferred(tensors, self._headers(answer))

    async def _classify(self, texts: Sequence[str], headers: Headers) -> Answer:
        return await self._classifier.classify(texts, time_left_s=time_left_s(headers, at_most_s=self._deadline_s))

    def _headers(self, answer: Answer) -> Headers:
        timing = answer.timing
        spent = (timing.tokenise_s * 1e3, timing.queue_s * 1e3, timing.inference_s * 1e3)
        headers = [
            (b"x-model-version", self.version.encode()),
            (b"server-timing", b"tokenise;dur=%.3f, queue;dur=%.3f, inference;dur=%.3f" % spent),
        ]
        if answer.truncated:
            headers.append((b"x-truncated", b"%d" % len(answer.truncated)))
        return headers


def write_predictions(answer: Answer, labels: Sequence[str]) -> bytes:
    """Write all labels and scores of each text, best first, equal scores in class order."""
    order = np.argsort(-answer.scores, axis=1, kind="stable")
    predictions = [
        [{"label": labels[index], "score": row[index]} for index in best]
        for row, best in zip(answer.scores, order, strict=True)
    ]
    return orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)


def time_left_s(headers: Headers, *, at_most_s: float) -> float:
    """Give the shortest of our own deadline and any that the request states."""
    for name, value in headers:
        if name == TIMEOUT:
            stated_ms = whole_number(value, most_digits=9)
            if stated_ms is not None:
                at_most_s = min(at_most_s, stated_ms / 1000)
    return at_most_s
