"""Drains without losing a request: first not ready; after a pause, no new connections; then the last answers.

Load balancers learn late that a process is leaving. Until they do, the port stays open, every request is answered, and
every answer asks its connection to close.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Collection
from types import FrameType

from serving.asgi import App, Message, Receive, Scope, Send, send_reply
from serving.errors import DrainingError
from serving.http.reply import Reply

SignalHandler = Callable[[int, FrameType | None], None]

_LAST = (b"connection", b"close")


def readiness_routes(model_name: str) -> frozenset[str]:
    """Give the readiness paths of KServe's protocols."""
    return frozenset({"/v2/health/ready", f"/v2/models/{model_name}/ready", f"/v1/models/{model_name}"})


class Draining:
    """An ASGI application in front of another, and the signal handler that starts draining.

    Args:
        app: what answers.
        readiness: paths that are refused while draining.
        pause_s: seconds between failing readiness and closing the port; 0 closes it at once.
        on_begin: called when draining starts.
    """

    def __init__(self, *, app: App, readiness: Collection[str], pause_s: float, on_begin: Callable[[], None]) -> None:
        self._app = app
        self._readiness = readiness
        self._pause_s = pause_s
        self._on_begin = on_begin
        self._begun = False

    @property
    def ready(self) -> bool:
        """Whether new requests should still be sent here."""
        return not self._begun

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Serve one ASGI connection; costs one comparison until draining starts."""
        return self._leaving(scope, receive, send) if self._begun else self._app(scope, receive, send)

    def handler(self, *, leave: SignalHandler, loop: asyncio.AbstractEventLoop) -> SignalHandler:
        """Give a signal handler that drains on the first SIGTERM and leaves at once on anything else.

        Args:
            leave: the server's own handler, which closes the port.
            loop: where the server runs.
        """

        def handle(number: int, frame: FrameType | None) -> None:
            at_once = number != signal.SIGTERM or self._begun or not self._pause_s
            self._begun = True
            self._on_begin()
            if at_once:
                leave(number, frame)
            else:
                loop.call_soon_threadsafe(loop.call_later, self._pause_s, leave, number, None)

        return handle

    async def _leaving(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"].rstrip("/") in self._readiness:
            error = DrainingError()
            await send_reply(send, Reply(error.status, [*error.headers(), _LAST], error.body()))
        else:

            async def closing(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = [*message["headers"], _LAST]
                await send(message)

            await self._app(scope, receive, closing)
