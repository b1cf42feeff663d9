"""The parts of a request's path, each in a span; ``server.py`` wires them in instead of the bare ones.

A trace comes in with the gateway's header, or a call's metadata, and goes on to the predictor: server span > validate,
look-up, forward, store.
"""

import time
from collections.abc import Sequence
from typing import Any, Literal

from opentelemetry.trace import SpanKind, Tracer

from serving.asgi import App
from serving.front import Front
from serving.http.reply import Headers
from serving.schema import RequestSchema
from serving.traced_grpc import TracedCalls
from serving.traced_http import TracedApp, carrying_trace
from transformer.pipeline.answer import Answer
from transformer.pipeline.pipeline import Classified, Pipeline
from transformer.pipeline.ports import Cache, Predictor, Scored

_UNTRACED = ("/health", "/metrics", "/v2/health", "/docs", "/playground")
_NS = 1_000_000_000


class Traced:
    """Makes the traced form of every part.

    Args:
        tracer: where spans come from.
    """

    def __init__(self, *, tracer: Tracer) -> None:
        self._tracer = tracer

    def app(self, front: Front) -> App:
        """Give the application with a server span around every request but probes, scrapes and pages."""

        def route_of(path: str) -> str | None:
            return None if path.startswith(_UNTRACED) else front.route_name(path)

        attributes = {b"x-cache": "sentiment.cache"}
        return TracedApp(app=front, tracer=self._tracer, route_of=route_of, attributes=attributes)

    def interceptors(self) -> list[TracedCalls]:
        """Give what puts a server span around every inference over gRPC."""
        return [TracedCalls(tracer=self._tracer)]

    def schema(self, **limits: int) -> RequestSchema:
        """Give the schema; its checks are the span ``validate``."""
        return _TracedSchema(tracer=self._tracer, **limits)

    def cache(self, cache: Cache) -> Cache:
        """Give the cache; its writes are the span ``store``."""
        return _TracedCache(cache=cache, tracer=self._tracer)

    def predictor(self, predictor: Predictor) -> Predictor:
        """Give the predictor; its calls are the client span ``forward``."""
        return _TracedPredictor(predictor=predictor, tracer=self._tracer)

    def pipeline(self, **parts: Any) -> Pipeline:
        """Give the pipeline; its look-ups are the span ``look-up``."""
        return _TracedPipeline(tracer=self._tracer, **parts)


class _TracedSchema(RequestSchema):
    def __init__(self, *, tracer: Tracer, **limits: int) -> None:
        super().__init__(**limits)
        self._tracer = tracer

    def predict(self, body: bytes) -> list[str]:
        with self._tracer.start_as_current_span("validate", attributes={"sentiment.bytes": len(body)}):
            return super().predict(body)

    def v1(self, body: bytes) -> list[str]:
        with self._tracer.start_as_current_span("validate", attributes={"sentiment.bytes": len(body)}):
            return super().v1(body)

    def texts(self, texts: object, *, field: str, status: Literal[400, 422] = 400) -> list[str]:
        with self._tracer.start_as_current_span("validate"):
            return super().texts(texts, field=field, status=status)


class _TracedPipeline(Pipeline):
    def __init__(self, *, tracer: Tracer, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer

    def recall(self, texts: Sequence[str]) -> Classified | None:
        """Leave every text to ``classify``, which writes the span."""

    async def classify(self, texts: Sequence[str], headers: Headers) -> Classified:
        started_ns = time.time_ns()
        classified = await super().classify(texts, headers)
        said = {"sentiment.texts": len(texts), "sentiment.found": classified.found, "sentiment.asked": classified.asked}
        # The pipeline measures its look-ups; the span is written from that.
        look_up = self._tracer.start_span("look-up", start_time=started_ns, attributes=said)
        look_up.end(started_ns + int(classified.lookup_s * _NS))
        return classified


class _TracedCache:
    def __init__(self, *, cache: Cache, tracer: Tracer) -> None:
        self._cache = cache
        self._tracer = tracer
        self.peek = cache.peek
        self.fetch = cache.fetch

    def store(self, answers: Sequence[tuple[bytes, Answer]]) -> None:
        with self._tracer.start_as_current_span("store", attributes={"sentiment.texts": len(answers)}):
            self._cache.store(answers)


class _TracedPredictor:
    def __init__(self, *, predictor: Predictor, tracer: Tracer) -> None:
        self._predictor = predictor
        self._tracer = tracer

    async def score(self, texts: Sequence[str], headers: Headers) -> Scored:
        with self._tracer.start_as_current_span(
            "forward", kind=SpanKind.CLIENT, attributes={"sentiment.texts": len(texts)}
        ) as span:
            scored = await self._predictor.score(texts, carrying_trace(headers))
            span.set_attribute("sentiment.model_version", scored.version)
            return scored
