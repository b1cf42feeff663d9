"""The parts of a request's way, each in a span: what ``server.py`` wires in instead of the bare ones.

A trace comes in by the caller's header or metadata: server span > tokenise, queue, infer.
"""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, get_current_span

from predictor.batching.classifier import Classifier
from predictor.batching.job import Answer
from predictor.protocol.hot_path import AsgiApp, Message, Receive, Scope, Send
from serving.traced_grpc import TracedCalls

_ROUTES = (
    (re.compile(r"/v1/models/[^/:]+:predict"), "/v1/models/{model_name}:predict"),
    (re.compile(r"/v2/models/[^/]+(/versions/[^/]+)?/infer"), "/v2/models/{model_name}/infer"),
)
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

    def app(self, app: AsgiApp) -> AsgiApp:
        """Give the application with a server span around every prediction."""
        return _TracedApp(app=app, tracer=self._tracer)

    def interceptors(self) -> list[TracedCalls]:
        """Give what puts a server span around every inference over gRPC."""
        return [TracedCalls(tracer=self._tracer)]

    def classifier(self, **parts: Any) -> Classifier:
        """Give the classifier, whose stages are the spans ``tokenise``, ``queue`` and ``infer``."""
        return _TracedClassifier(tracer=self._tracer, **parts)


class _TracedApp:
    def __init__(self, *, app: AsgiApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        route = next((name for pattern, name in _ROUTES if pattern.fullmatch(path)), None)
        if route is None:
            await self._app(scope, receive, send)
            return
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        with self._tracer.start_as_current_span(
            f"{scope['method']} {route}",
            context=propagate.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "http.route": route},
        ) as span:

            async def observe(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self._app(scope, receive, observe)


class _TracedClassifier(Classifier):
    def __init__(self, *, tracer: Tracer, **parts: Any) -> None:
        super().__init__(**parts)
        self._tracer = tracer

    async def classify(self, texts: Sequence[str], *, time_left_s: float) -> Answer:
        started_ns = time.time_ns()
        answer = await super().classify(texts, time_left_s=time_left_s)
        if not get_current_span().is_recording():
            return answer
        # Other threads do the work and say how long it took: the spans are written from that, one after the other.
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
