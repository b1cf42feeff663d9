"""The parts of a request's path, each in a span; ``server.py`` wires them in instead of the bare ones.

A trace comes in with the caller's header or metadata: server span > tokenise, queue, infer.
"""

import time
from collections.abc import Sequence
from typing import Any

from opentelemetry.trace import Tracer, get_current_span

from predictor.batching.classifier import Classifier
from predictor.batching.job import Answer
from serving.asgi import App
from serving.front import Front
from serving.predictions import INFER, PREDICT_V1
from serving.traced_grpc import TracedCalls
from serving.traced_http import TracedApp

_NS = 1_000_000_000


class Traced:
    """Makes the traced form of every part.

    Args:
        tracer: where spans come from.
    """

    def __init__(self, *, tracer: Tracer) -> None:
        self._tracer = tracer

    def app(self, front: Front) -> App:
        """Give the application with a server span around every prediction."""

        def route_of(path: str) -> str | None:
            name = front.route_name(path)
            return name if name in (PREDICT_V1, INFER) else None

        return TracedApp(app=front, tracer=self._tracer, route_of=route_of)

    def interceptors(self) -> list[TracedCalls]:
        """Give what puts a server span around every inference over gRPC."""
        return [TracedCalls(tracer=self._tracer)]

    def classifier(self, **parts: Any) -> Classifier:
        """Give the classifier; its stages are the spans ``tokenise``, ``queue`` and ``infer``."""
        return _TracedClassifier(tracer=self._tracer, **parts)


class _TracedClassifier(Classifier):
    def __init__(self, *, tracer: Tracer, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer

    async def classify(self, texts: Sequence[str], *, time_left_s: float) -> Answer:
        started_ns = time.time_ns()
        answer = await super().classify(texts, time_left_s=time_left_s)
        if not get_current_span().is_recording():
            return answer
        # Other threads do the work and report how long it took: the spans are written from that, in sequence.
        timing = answer.timing
        said = {"sentiment.texts": len(texts)}
        for name, seconds in (
            ("tokenise", timing.tokenise_s),
            ("queue", timing.queue_s),
            ("infer", timing.inference_s),
        ):
            span = self._tracer.start_span(name, start_time=started_ns, attributes=said)
            started_ns += int(seconds * _NS)
            span.end(started_ns)
        return answer
