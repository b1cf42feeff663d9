"""What the predictor serves: its classifier as every protocol sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from predictor.batching.classifier import Classifier
from predictor.batching.job import Answer
from serving.foreign import whole_number
from serving.http.reply import JSON, Headers, Reply
from serving.oip.tensors import Tensors, described_input, described_outputs
from serving.schema import RequestSchema
from serving.scores import ScoresAre
from serving.service import TIMEOUT, Inferred, Service


@dataclass(frozen=True, kw_only=True)
class Served:
    """What is served and how, for metadata."""

    name: str
    version: str
    labels: Sequence[str]
    scores_are: ScoresAre
    engine: str
    precision: str
    arithmetic: str
    threads: int
    max_length_tokens: int
    max_texts: int
    max_text_chars: int


class PredictorService(Service):
    """Classifies every request's texts within its time.

    Args:
        served: what is served.
        classifier: scores texts.
        schema: checks them.
        deadline_s: longest a request may take; a request may ask for less.
    """

    def __init__(self, *, served: Served, classifier: Classifier, schema: RequestSchema, deadline_s: float) -> None:
        self.name = served.name
        self.schema = schema
        self._served = served
        self._classifier = classifier
        self._deadline_s = deadline_s

    @property
    def version(self) -> str:
        """The model version that is served."""
        return self._served.version

    def metadata(self) -> dict[str, Any]:
        """Give OIP model metadata; ``properties`` holds strings only."""
        served = self._served
        return {
            "name": served.name,
            "versions": [served.version],
            "platform": f"{served.engine}-{served.precision}",
            "inputs": described_input(),
            "outputs": described_outputs(len(served.labels)),
            "properties": {
                "labels": orjson.dumps(list(served.labels)).decode(),
                "scores_are": served.scores_are,
                "max_length_tokens": str(served.max_length_tokens),
                "max_texts": str(served.max_texts),
                "max_text_chars": str(served.max_text_chars),
                "precision": served.precision,
                "arithmetic": served.arithmetic,
                "engine": served.engine,
                "threads": str(served.threads),
            },
        }

    async def predict(self, texts: Sequence[str], headers: Headers, *, started: float) -> Reply:  # noqa: ARG002
        """Answer in V1's form; see ``Service``."""
        answer = await self._classify(texts, headers)
        return Reply(200, [JSON, *self._headers(answer)], write_predictions(answer, self._served.labels))

    async def infer(self, texts: Sequence[str], headers: Headers, *, started: float) -> Inferred:  # noqa: ARG002
        """Answer in tensors; see ``Service``."""
        answer = await self._classify(texts, headers)
        tensors = Tensors(self._served.version, self._served.labels, answer.scores, answer.truncated, answer.scores_are)
        return Inferred(tensors, self._headers(answer))

    async def _classify(self, texts: Sequence[str], headers: Headers) -> Answer:
        return await self._classifier.classify(texts, time_left_s=time_left_s(headers, at_most_s=self._deadline_s))

    def _headers(self, answer: Answer) -> Headers:
        timing = answer.timing
        spent = (timing.tokenise_s * 1e3, timing.queue_s * 1e3, timing.inference_s * 1e3)
        headers = [
            (b"x-model-version", self._served.version.encode()),
            (b"server-timing", b"tokenise;dur=%.3f, queue;dur=%.3f, inference;dur=%.3f" % spent),
        ]
        if answer.truncated:
            headers.append((b"x-truncated", b"%d" % len(answer.truncated)))
        return headers


def write_predictions(answer: Answer, labels: Sequence[str]) -> bytes:
    """Write per text all labels with their scores, best first, equals in class order."""
    order = np.argsort(-answer.scores, axis=1, kind="stable")
    predictions = [
        [{"label": labels[index], "score": row[index]} for index in best]
        for row, best in zip(answer.scores, order, strict=True)
    ]
    return orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)


def time_left_s(headers: Headers, *, at_most_s: float) -> float:
    """Give the shortest of our own deadline and those that the request states."""
    for name, value in headers:
        if name == TIMEOUT:
            stated_ms = whole_number(value, most_digits=9)
            if stated_ms is not None:
                at_most_s = min(at_most_s, stated_ms / 1000)
    return at_most_s
