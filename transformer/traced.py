"""The parts of a request's way, each in a span: what ``server.py`` wires in instead of the bare ones.

A trace comes in by the gateway's header, or a call's metadata, and goes on to the predictor: server span > validate,
look-up, forward, store.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from kserve.protocol.grpc import server as sdk_grpc
from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from serving.traced_grpc import TracedCalls
from transformer.pipeline.answer import Answer
from transformer.pipeline.pipeline import Cache, Classified, Pipeline, Predictor, RawHeaders, Scored
from transformer.protocol.routes import App, HotPath, Message, Receive, Scope, Send
from transformer.protocol.schema import RequestSchema

_UNTRACED = ("/health", "/metrics", "/v2/health", "/docs", "/playground")
_NS = 1_000_000_000


class Traced:
    """Makes the tracing form of every part.

    Args:
        tracer: where spans come from.
        close: sends what waits and ends the exporter.
    """

    def __init__(self, *, tracer: Tracer, close: Callable[[], None]) -> None:
        self._tracer = tracer
        self.close = close

    def app(self, hot_path: HotPath) -> App:
        """Give the application with a server span around every request."""
        return _TracedApp(hot_path=hot_path, tracer=self._tracer)

    def grpc(self) -> None:
        """Have the SDK's gRPC server put a server span around every inference.

        That server makes its interceptors itself and takes no others. Ours goes where the one that logs calls would
        stand: it is the outermost, so the span sees the status, and nothing is lost, for its level is silent here.
        """
        sdk_grpc.LoggingInterceptor = lambda: TracedCalls(tracer=self._tracer)

    def schema(self, **limits: int) -> RequestSchema:
        """Give the schema, whose checks are the span ``validate``."""
        return _TracedSchema(tracer=self._tracer, **limits)

    def cache(self, cache: Cache) -> Cache:
        """Give the cache, whose writes are the span ``store``."""
        return _TracedCache(cache=cache, tracer=self._tracer)

    def predictor(self, predictor: Predictor) -> Predictor:
        """Give the predictor, whose calls are the client span ``forward``."""
        return _TracedPredictor(predictor=predictor, tracer=self._tracer)

    def pipeline(self, **parts: Any) -> Pipeline:
        """Give the pipeline, whose look-ups are the span ``look-up``."""
        return _TracedPipeline(tracer=self._tracer, **parts)


class _TracedApp:
    def __init__(self, *, hot_path: HotPath, tracer: Tracer) -> None:
        self._hot_path = hot_path
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_UNTRACED):
            await self._hot_path(scope, receive, send)
            return
        route = self._hot_path.route_name(scope["path"])
        with self._tracer.start_as_current_span(
            f"{scope['method']} {route}",
            context=propagate.extract(_readable(scope["headers"])),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "http.route": route},
        ) as span:
            # Logs and SDK routes read the trace from the headers; from here on it is this span's.
            scope["headers"] = _carrying(scope["headers"])

            async def observe(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                    for name, value in message["headers"]:
                        if name == b"x-cache":
                            span.set_attribute("sentiment.cache", value.decode())
                await send(message)

            await self._hot_path(scope, receive, observe)


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

    async def classify(self, texts: Sequence[str], headers: RawHeaders) -> Classified:
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

    async def score(self, texts: Sequence[str], headers: RawHeaders) -> Scored:
        with self._tracer.start_as_current_span(
            "forward", kind=SpanKind.CLIENT, attributes={"sentiment.texts": len(texts)}
        ) as span:
            scored = await self._predictor.score(texts, _carrying(headers))
            span.set_attribute("sentiment.model_version", scored.version)
            return scored


def _readable(headers: RawHeaders) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}


def _carrying(headers: RawHeaders) -> list[tuple[bytes, bytes]]:
    """Give the headers with the current span as their trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    ours = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in carrier.items()}
    return [*((name, value) for name, value in headers if name not in ours), *ours.items()]
