"""The way down: readiness falls first, the port stays open a moment longer, then what is under way is finished.

Whoever routes to this process needs a moment to see that it is leaving. Until then new connections are answered as ever
and each answer asks its connection to close, so that nothing is lost when the port shuts.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from types import FrameType

import orjson

from transformer.protocol.routes import App, Message, Receive, Scope, Send

_NOT_READY = orjson.dumps({"error": "The service is shutting down.", "code": "draining"})

Leave = Callable[[int, FrameType | None], None]


class Draining:
    """An ASGI application in front of another, and the signal handler that starts the way down.

    Args:
        app: what answers.
        model_name: the model's name in readiness routes.
        pause_s: seconds between falling readiness and the closing port.
        on_begin: called when the way down starts.
    """

    def __init__(self, *, app: App, model_name: str, pause_s: float, on_begin: Callable[[], None]) -> None:
        self._app = app
        self._pause_s = pause_s
        self._on_begin = on_begin
        self._readiness = {
            "/health", "/v2/health/ready", f"/v1/models/{model_name}", f"/v2/models/{model_name}/ready",
        }  # fmt: skip
        self.begun = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one ASGI connection; costs a comparison while nothing drains."""
        return self._leaving(scope, receive, send) if self.begun else self._app(scope, receive, send)

    def handler(self, *, leave: Leave, loop: asyncio.AbstractEventLoop) -> Leave:
        """Give a signal handler that drains on the first SIGTERM and leaves at once on anything else.

        Args:
            leave: the server's own handler, which closes the port.
            loop: where the server runs.
        """

        def handle(number: int, frame: FrameType | None) -> None:
            at_once = number != signal.SIGTERM or self.begun or not self._pause_s
            self.begun = True
            self._on_begin()
            if at_once:
                leave(number, frame)
                return
            loop.call_soon_threadsafe(loop.call_later, self._pause_s, leave, number, None)

        return handle

    async def _leaving(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        if scope["type"] != "http" or scope["path"] not in self._readiness:
            await self._app(scope, receive, closing)
            return
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_NOT_READY))]
        await closing({"type": "http.response.start", "status": 503, "headers": [*headers, (b"retry-after", b"1")]})
        await closing({"type": "http.response.body", "body": _NOT_READY})
