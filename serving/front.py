"""The application in front of the SDK's: ids, limits and counts for every request; predictions without the SDK.

A request that arrives whole on a prediction route is answered straight from the parser, any other through ASGI.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Protocol

from serving.asgi import App, Message, Receive, Scope, Send, send_reply
from serving.asgi_body import ClientGoneError, read_body, unless_gone
from serving.errors import MethodNotAllowedError, ServiceError
from serving.http.reply import Headers, Reply
from serving.predictions import Begun, Predictions, Route, named, refusal
from serving.request_id import REQUEST_ID, RequestIds

access = logging.getLogger("access")

_LAST = (b"connection", b"close")
# Routes that are counted as one.
_FAMILIES = ("/v1", "/v2", "/docs", "/playground")
_PLAIN = frozenset({"/metrics", "/openapi.json", "/health"})


class Counts(Protocol):
    """Counts every answer.

    Attributes:
        in_flight: requests being answered now.
    """

    in_flight: int

    def request(self, *, route: str, status: int, outcome: str, seconds: float) -> None:
        """Count an answered request; status 499 if the client hung up first."""


class Front:
    """An ASGI application that answers predictions itself and leaves the rest to ``app``.

    Args:
        app: the SDK's application.
        predictions: answers what takes texts or tensors.
        counts: told of every answer.
        pages: answers other paths; None for those that are the SDK's.
        access_log: whether to log a line for every request.

    Attributes:
        direct_urls: request targets that ``answer`` takes without ASGI.
    """

    def __init__(
        self,
        *,
        app: App,
        predictions: Predictions,
        counts: Counts,
        pages: Callable[[Scope], Reply | None] = lambda _scope: None,
        access_log: bool = False,
    ) -> None:
        self._app = app
        self._predictions = predictions
        self._counts = counts
        self._pages = pages
        self._access_log = access_log
        self._ids = RequestIds()
        self._direct = {path.encode("latin-1"): route for path, route in predictions.routes.items()}
        self.direct_urls: Collection[bytes] = self._direct.keys()

    def only_asgi(self) -> None:
        """Take no request directly from now on: a layer in front needs to see every one."""
        self.direct_urls = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        path = scope["path"] = _without_slash(scope["path"])
        request_id, scope["headers"] = self._ids.identify(scope["headers"])
        route = self._predictions.route(path)
        self._counts.in_flight += 1
        status, outcome = 500, "error"
        reply: Reply | None
        try:
            if route is not None and scope["method"] == "POST":
                reply = await self._predict(route, scope, receive, started)
            elif route is not None and (path != "/" or scope["method"] not in ("GET", "HEAD")):
                reply = refusal(MethodNotAllowedError(allow="POST" if path != "/" else "GET, POST"))
            else:
                reply = self._pages(scope)
            if reply is None:
                status, outcome = await self._delegate(scope, receive, send, request_id), "other"
            else:
                status, outcome = reply.status, reply.outcome
                reply.headers.append((REQUEST_ID, request_id))
                await send_reply(send, reply, head_only=scope["method"] == "HEAD")
        except (ClientGoneError, asyncio.CancelledError) as error:
            status = 499
            if isinstance(error, asyncio.CancelledError):
                raise
        finally:
            self._counts.in_flight -= 1
            self._count(self.route_name(path), scope["method"], scope["headers"], status, outcome, started)

    def answer(self, url: bytes, headers: Headers, body: bytes) -> Begun:
        """Answer a POST to a URL that is, or was, direct: at once if possible, else give a coroutine that will.

        Args:
            url: the request target.
            headers: the request's.
            body: the whole body.
        """
        started = time.perf_counter()
        route = self._direct[url]
        request_id, headers = self._ids.identify(headers)
        begun = self._predictions.begin(route, headers, body, started)
        if not isinstance(begun, Reply):
            return self._finish_directly(begun, route, headers, request_id, started)
        begun.headers.append((REQUEST_ID, request_id))
        self._count(route.name, "POST", headers, begun.status, begun.outcome, started)
        return begun

    def route_name(self, path: str) -> str:
        """Name a path's route for people and counters: few names, whatever paths clients try."""
        route = self._predictions.route(path)
        return route.name if route else _name_of(path)

    async def _finish_directly(
        self, begun: Coroutine[Any, Any, Reply], route: Route, headers: Headers, request_id: bytes, started: float
    ) -> Reply:
        self._counts.in_flight += 1
        status, outcome = 499, "error"
        try:
            reply = await self._predictions.finish(begun, route, headers)
            status, outcome = reply.status, reply.outcome
        finally:
            self._counts.in_flight -= 1
            self._count(route.name, "POST", headers, status, outcome, started)
        reply.headers.append((REQUEST_ID, request_id))
        return reply

    async def _predict(self, route: Route, scope: Scope, receive: Receive, started: float) -> Reply:
        try:
            body = await read_body(scope, receive, limit_bytes=self._predictions.max_body_bytes)
        except ServiceError as error:
            return refusal(error, _LAST)  # the rest of the body is unread
        begun = self._predictions.begin(route, scope["headers"], body, started)
        if isinstance(begun, Reply):
            return begun
        return await unless_gone(self._predictions.finish(begun, route, scope["headers"]), receive)

    async def _delegate(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> int:
        """Let the SDK answer; a body is read here first, so that the limit holds there too."""
        status = 500

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id)]
            await send(message)

        if scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, observe)
            return status
        try:
            body = await read_body(scope, receive, limit_bytes=self._predictions.max_body_bytes)
        except ServiceError as error:
            await send_reply(observe, refusal(error, _LAST))
            return status
        replay = iter(({"type": "http.request", "body": body, "more_body": False},))

        async def read() -> Message:
            return next(replay, None) or await receive()

        await self._app(scope, read, observe)
        return status

    def _count(self, name: str, method: str, headers: Headers, status: int, outcome: str, started: float) -> None:
        seconds = time.perf_counter() - started
        self._counts.request(route=name, status=status, outcome=outcome, seconds=seconds)
        if self._access_log:
            extra = {
                "method": method, "route": name, "status": status, "outcome": outcome, "ms": round(seconds * 1000, 3),
                **named(headers),
            }  # fmt: skip
            access.info("request", extra=extra)


def _without_slash(path: str) -> str:
    return path[:-1] if path.endswith("/") and path != "/" else path


def _name_of(path: str) -> str:
    if path in _PLAIN:
        return path
    return next((family for family in _FAMILIES if path.startswith(family)), "other")
