"""Leaving without losing a request: first not ready, then, after a pause, no new connections, then the last answers.

Load balancers learn late that a process is going. While they learn, the port stays open, every request is still
answered, and every answer asks its connection to close.
"""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType

import orjson

from predictor.errors import ShuttingDownError
from predictor.protocol.hot_path import AsgiApp, Message, Receive, Scope, Send, error_headers

SignalHandler = Callable[[int, FrameType | None], None]

_RETRY_AFTER_S = 1


class Draining:
    """An ASGI application that passes everything on to ``app``, until it is told that the process leaves.

    Args:
        app: what answers.
        model_name: the model's name in readiness routes.
        pause_s: how long the port stays open after the first SIGTERM; 0 closes it at once.
        on_begin: called when the process is told.
    """

    def __init__(self, *, app: AsgiApp, model_name: str, pause_s: float, on_begin: Callable[[], None]) -> None:
        self._app = app
        self._on_begin = on_begin
        self._pause_s = pause_s
        self._readiness = {"/v2/health/ready", f"/v2/models/{model_name}/ready", f"/v1/models/{model_name}"}
        self._leaving = False

    @property
    def ready(self) -> bool:
        """Whether new requests should still be sent here."""
        return not self._leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        if not self._leaving or scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] in self._readiness:
            await _say_not_ready(_closing(send))
        else:
            await self._app(scope, receive, _closing(send))

    def instead_of(self, close_port: SignalHandler, *, loop: asyncio.AbstractEventLoop) -> SignalHandler:
        """Give a signal handler that pauses before ``close_port``; a second signal, or SIGINT, does not pause."""

        def handle(number: int, frame: FrameType | None) -> None:
            at_once = self._leaving or number != signal.SIGTERM or self._pause_s == 0
            self._leaving = True
            self._on_begin()
            if at_once:
                close_port(number, frame)
            else:
                loop.call_soon_threadsafe(loop.call_later, self._pause_s, close_port, number, frame)

        return handle


def _closing(send: Send) -> Send:
    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
        await send(message)

    return send_and_close


async def _say_not_ready(send: Send) -> None:
    error = ShuttingDownError("the predictor is shutting down", retry_after_s=_RETRY_AFTER_S)
    content = orjson.dumps(error.body())
    headers = [*error_headers(error), (b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
