"""Puts a server span around requests over HTTP; loaded only where traces are asked for."""

from collections.abc import Callable, Mapping

from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from serving.asgi import App, Message, Receive, Scope, Send
from serving.http.reply import Headers


class TracedApp:
    """An ASGI application in front of another; the trace comes in by the request's headers and goes on in them.

    Args:
        app: what answers.
        tracer: where spans come from.
        route_of: names the route of a path, None for one that is not traced.
        attributes: response headers that become attributes, by name.
    """

    def __init__(
        self,
        *,
        app: App,
        tracer: Tracer,
        route_of: Callable[[str], str | None],
        attributes: Mapping[bytes, str] | None = None,
    ) -> None:
        self._app = app
        self._tracer = tracer
        self._route_of = route_of
        self._attributes = attributes or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        route = self._route_of(scope["path"]) if scope["type"] == "http" else None
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
            # Logs and the next service read the trace from the headers; from here on it is this span's.
            scope["headers"] = carrying_trace(scope["headers"])

            async def observe(message: Message) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(Status(StatusCode.ERROR))
                    for name, value in message["headers"]:
                        if name in self._attributes:
                            span.set_attribute(self._attributes[name], value.decode("latin-1"))
                await send(message)

            await self._app(scope, receive, observe)


def carrying_trace(headers: Headers) -> Headers:
    """Give headers with the current span as their trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    ours = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in carrier.items()}
    return [*((name, value) for name, value in headers if name not in ours), *ours.items()]
