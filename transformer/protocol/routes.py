"""The hot path: the routes that carry the traffic, in front of the SDK's application; as plain ASGI, and without it."""

import itertools
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, MutableMapping
from typing import Any, NamedTuple

import orjson
from starlette import datastructures

from transformer.errors import (
    MethodNotAllowedError,
    NotFoundError,
    PayloadTooLargeError,
    TransformerError,
)
from transformer.metrics import Metrics
from transformer.pipeline.pipeline import Pipeline
from transformer.protocol.pages import Page
from transformer.protocol.replies import Headers, Reply, answer_reply, error_reply, json_reply
from transformer.protocol.schema import RequestSchema

log = logging.getLogger(__name__)
access = logging.getLogger("transformer.access")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LONGEST_REQUEST_ID = 128
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
# A client that is still sending when its connection closes loses the answer: bodies up to so many limits are read to
# their end and thrown away.
_DISCARD_LIMITS = 16
_LAST = (b"connection", b"close")  # the rest of a body that is too large is not worth reading
_REFUSED_PREFIXES = ("/v2/repository/",)


class _ClientGoneError(Exception):
    """The client hung up before its body was complete."""


class _Route(NamedTuple):
    name: str
    texts_of: Callable[[bytes], list[str]]


class HotPath:
    """Answers ``POST /predict``, ``POST /``, ``POST /v1/models/<model>:predict`` and ``GET /health`` itself.

    The pages for people are answered here too. Everything else goes to the SDK's application, with the same limit on
    bodies, request ids and counters; model load and unload routes are refused.

    Args:
        app: the SDK's application.
        model_name: the model's name in routes.
        pipeline: classifies texts.
        schema: checks bodies.
        metrics: counts requests.
        max_body_bytes: most bytes a body may have.
        pages: the pages for people, by path.
        access_log: whether to log a line for every request.
    """

    def __init__(
        self,
        *,
        app: App,
        model_name: str,
        pipeline: Pipeline,
        schema: RequestSchema,
        metrics: Metrics,
        max_body_bytes: int,
        pages: Mapping[str, Page] | None = None,
        access_log: bool = False,
    ) -> None:
        self._app = app
        self._model_name = model_name
        self._pipeline = pipeline
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._pages = pages or {}
        self._access_log = access_log
        predict = _Route("/predict", schema.predict)
        self._routes = {
            "/predict": predict,
            "/": predict,
            f"/v1/models/{model_name}:predict": _Route("/v1/models/{model_name}:predict", schema.v1),
        }
        self._direct_routes = {path.encode("latin-1"): route for path, route in self._routes.items()}
        self.direct_urls: Collection[bytes] = self._direct_routes.keys()
        self._request_ids = map("{}-{:x}".format, itertools.repeat(os.urandom(6).hex()), itertools.count())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        path = scope["path"]
        route = self._routes.get(path)
        request_id, scope["headers"] = self._identified(scope["headers"])
        self._metrics.in_flight += 1
        status, outcome, name = 500, "error", route.name if route else _name_of(path)
        try:
            if route is not None and scope["method"] == "POST":
                status, outcome = await self._predict(route, scope, receive, send, request_id, started)
            elif path == "/health":
                name = "/health"
                status, outcome = await _send(send, self._health(scope["method"], request_id))
            elif route is not None and (path != "/" or scope["method"] != "GET"):  # GET / is the SDK's liveness
                allow = b"POST" if path != "/" else b"GET, POST"
                status, _ = await _send(send, error_reply(MethodNotAllowedError(), request_id, (b"allow", allow)))
            elif (page := self._page_for(scope)) is not None:
                status, outcome = await _send_page(send, page, scope, request_id)
            elif path.startswith(_REFUSED_PREFIXES) or path.endswith(":explain"):
                status, _ = await _send(send, error_reply(NotFoundError(), request_id))
            else:
                status = await self._delegate(scope, receive, send, request_id)
                outcome = "other"
        except _ClientGoneError:
            status = 499
        finally:
            self._metrics.in_flight -= 1
            self._count(name, scope["method"], scope["headers"], status, outcome, started)

    def answer(self, url: bytes, headers: Headers, body: bytes) -> Reply | Coroutine[Any, Any, Reply]:
        """Answer a POST to what is or was a direct URL: at once when memory has all of it, else give what will.

        Args:
            url: the request target.
            headers: the request's.
            body: the whole body.
        """
        started = time.perf_counter()
        route = self._direct_routes[url]
        request_id, headers = self._identified(headers)
        begun = self._begin(route, headers, body, request_id, started)
        if not isinstance(begun, Reply):
            return self._finish(begun, route, headers, started)
        self._count(route.name, "POST", headers, begun.status, begun.outcome, started)
        return begun

    async def _finish(
        self, begun: Coroutine[Any, Any, Reply], route: _Route, headers: Headers, started: float
    ) -> Reply:
        self._metrics.in_flight += 1
        try:
            reply = await begun
        finally:
            self._metrics.in_flight -= 1
        self._count(route.name, "POST", headers, reply.status, reply.outcome, started)
        return reply

    async def _predict(
        self, route: _Route, scope: Scope, receive: Receive, send: Send, request_id: bytes, started: float
    ) -> tuple[int, str]:
        try:
            body = await self._body(scope, receive)
        except TransformerError as error:
            return await _send(send, error_reply(error, request_id, _LAST))
        begun = self._begin(route, scope["headers"], body, request_id, started)
        return await _send(send, begun if isinstance(begun, Reply) else await begun)

    def _begin(
        self, route: _Route, headers: Headers, body: bytes, request_id: bytes, started: float
    ) -> Reply | Coroutine[Any, Any, Reply]:
        """Classify the texts of a body: at once when memory has them all or the body is bad."""
        if len(body) > self._max_body_bytes:
            return error_reply(PayloadTooLargeError(limit_bytes=self._max_body_bytes), request_id)
        try:
            texts = route.texts_of(body)
            classified = self._pipeline.recall(texts)
        except TransformerError as error:
            return error_reply(error, request_id)
        except Exception:  # noqa: BLE001  # a bug costs its request only
            return _failed(headers, request_id)
        if classified is None:
            return self._classify(texts, headers, request_id, started)
        return answer_reply(classified, request_id, started=started)

    async def _classify(self, texts: list[str], headers: Headers, request_id: bytes, started: float) -> Reply:
        try:
            return answer_reply(await self._pipeline.classify(texts, headers), request_id, started=started)
        except TransformerError as error:
            return error_reply(error, request_id)
        except Exception:  # noqa: BLE001  # a bug costs its request only
            return _failed(headers, request_id)

    def _count(self, name: str, method: str, headers: Headers, status: int, outcome: str, started: float) -> None:
        seconds = time.perf_counter() - started
        self._metrics.request(route=name, status=status, outcome=outcome, seconds=seconds)
        if self._access_log:
            extra = {
                "event": "request", "method": method, "route": name, "status": status, "cache": outcome,
                "ms": round(seconds * 1000, 3), "request_id": _first(headers, b"x-request-id"),
                "trace_id": _trace_id(headers),
            }  # fmt: skip
            access.info("%s %s", method, name, extra=extra)

    def _health(self, method: str, request_id: bytes) -> Reply:
        if method not in ("GET", "HEAD"):
            return error_reply(MethodNotAllowedError(), request_id, (b"allow", b"GET, HEAD"))
        model = self._pipeline.model
        content = orjson.dumps(
            {
                "status": "healthy",
                "model": self._model_name,
                "model_version": model.version if model else None,
                "degraded": self._metrics.redis.degraded,
            }
        )
        return json_reply(200, content if method == "GET" else b"", request_id, outcome="other")

    def only_asgi(self) -> None:
        """Take no request directly from now on: what stands in front of this application wants to see them all."""
        self.direct_urls = ()

    def route_name(self, path: str) -> str:
        """Name the route of a path for people and counters."""
        route = self._routes.get(path)
        return route.name if route else _name_of(path)

    def _page_for(self, scope: Scope) -> Page | None:
        """Give the page a path stands for; a browser that opens the root means the playground, if there is one."""
        path = scope["path"]
        if (
            path == "/"
            and scope["method"] == "GET"
            and "text/html" in datastructures.Headers(scope=scope).get("accept", "")
        ):
            path = "/playground"
        return self._pages.get(path)

    async def _delegate(self, scope: Scope, receive: Receive, send: Send, request_id: bytes) -> int:
        """Let the SDK answer; its body is read here first, so that the limit holds there too."""
        status = 500

        async def observe(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        if scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, observe)
            return status
        try:
            body = await self._body(scope, receive)
        except TransformerError as error:
            return (await _send(send, error_reply(error, request_id, _LAST)))[0]
        replay = iter(({"type": "http.request", "body": body, "more_body": False},))

        async def read() -> Message:
            return next(replay, None) or await receive()

        await self._app(scope, read, observe)
        return status

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        limit = self._max_body_bytes
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > _DISCARD_LIMITS * limit:
                raise PayloadTooLargeError(limit_bytes=limit)
        message = await receive()
        body: bytes = message.get("body", b"")
        if message["type"] == "http.request" and not message.get("more_body") and len(body) <= limit:
            return body
        parts, size = [body], len(body)
        while message["type"] == "http.request" and message.get("more_body") and size <= _DISCARD_LIMITS * limit:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            if size <= limit:
                parts.append(part)
        if size > limit:
            raise PayloadTooLargeError(limit_bytes=limit)
        if message["type"] != "http.request":
            raise _ClientGoneError
        return b"".join(parts)

    def _identified(self, headers: Headers) -> tuple[bytes, Headers]:
        """Give the client's request id when it is one a log can bear, else a new one, and headers that carry it."""
        for name, value in headers:
            if name == b"x-request-id" and _is_plain(value):
                return bytes(value), headers
        made = next(self._request_ids).encode()
        return made, [*(header for header in headers if header[0] != b"x-request-id"), (b"x-request-id", made)]


def _failed(headers: Headers, request_id: bytes) -> Reply:
    extra = {"event": "bug", "request_id": request_id.decode(), "trace_id": _trace_id(headers)}
    log.error("a request failed", extra=extra, exc_info=True)  # noqa: LOG014  # called while it is handled
    return error_reply(TransformerError("The service failed."), request_id)


def _first(headers: Headers, wanted: bytes) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name == wanted), None)


def _trace_id(headers: Headers) -> str | None:
    """Give the trace a request belongs to, if it says so (W3C Trace Context)."""
    for name, value in headers:
        if name == b"traceparent" and (parts := _TRACEPARENT.fullmatch(value)):
            return str(parts[1].decode())
    return None


def _is_plain(value: bytes) -> bool:
    return 0 < len(value) <= _LONGEST_REQUEST_ID and value.isascii() and value.decode().isprintable()


def _name_of(path: str) -> str:
    """Name a route of the SDK's for counters: few names however many paths strangers try."""
    if path.startswith("/v2/models/") and path.endswith("/infer"):
        return "/v2/models/{model_name}/infer"
    if path.startswith(("/v1", "/v2")):
        return "/v1" if path.startswith("/v1") else "/v2"
    if path.startswith(("/docs", "/playground")):
        return "/docs" if path.startswith("/docs") else "/playground"
    return path if path in ("/metrics", "/openapi.json") else "other"


async def _send_page(send: Send, page: Page, scope: Scope, request_id: bytes) -> tuple[int, str]:
    if scope["method"] not in ("GET", "HEAD"):
        return await _send(send, error_reply(MethodNotAllowedError(), request_id, (b"allow", b"GET, HEAD")))
    status, headers, content = page.answer(datastructures.Headers(scope=scope))
    content = b"" if scope["method"] == "HEAD" else content
    return await _send(send, Reply(status, [*headers, (b"x-request-id", request_id)], content, "other"))


async def _send(send: Send, reply: Reply) -> tuple[int, str]:
    """Send an answer as ASGI; give what it counts as."""
    await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
    await send({"type": "http.response.body", "body": reply.content})
    return reply.status, reply.outcome
