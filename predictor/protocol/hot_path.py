"""The two REST routes that carry the traffic, V1 predict and OIP infer, before the SDK's application.

They parse no more than they need, know when the client has gone, and answer in one go: straight from the parser's hands
where they can, else as plain ASGI.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Collection, Coroutine, MutableMapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from predictor.batching.job import Answer
from predictor.direct_http import Headers, Reply
from predictor.errors import BodyTooLargeError, MethodNotAllowedError, PredictorError
from predictor.metrics import Metrics
from predictor.protocol import oip
from predictor.protocol.requests import parse_v1
from predictor.protocol.service import ServedModel

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_V1 = re.compile(r"/v1/models/([^/:]+):predict")
_OIP = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_TIMEOUT = b"x-request-timeout-ms"


class _Call(NamedTuple):
    """A route and the model and version that a request's path names."""

    route: str
    names: Sequence[str | None]


class _ClientGoneError(Exception):
    """Nobody is there to answer."""


class HotPath:
    """Answers predict and infer itself and, as an ASGI application, leaves everything else to ``app``."""

    def __init__(self, *, app: AsgiApp, model: ServedModel, metrics: Metrics) -> None:
        self._app = app
        self._model = model
        self._metrics = metrics
        self._routes = {"v1_predict": self._predict, "v2_infer": self._infer}
        self._direct_calls = {
            b"/v1/models/%b:predict" % model.name.encode(): _Call("v1_predict", (model.name,)),
            b"/v2/models/%b/infer" % model.name.encode(): _Call("v2_infer", (model.name, None)),
        }
        self.direct_urls: Collection[bytes] = self._direct_calls.keys()

    def only_asgi(self) -> None:
        """Take no request directly from now on: what stands in front of this application wants to see them all."""
        self.direct_urls = ()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        path = scope["path"] if scope["type"] == "http" else ""
        if match := _V1.fullmatch(path):
            call = _Call("v1_predict", match.groups())
        elif match := _OIP.fullmatch(path):
            call = _Call("v2_infer", match.groups())
        else:
            await self._app(scope, receive, send)
            return
        try:
            body = await _read_body(scope, receive, max_bytes=self._model.limits.max_body_bytes)
        except _ClientGoneError:
            self._count(call, 499)
            return
        except PredictorError as error:
            self._count(call, error.status)
            # What may still come of the body is not read, so the connection cannot be used again.
            last = [(b"connection", b"close")] if isinstance(error, BodyTooLargeError) else []
            await _send(send, _refusal(error, scope["headers"], *last))
            return
        reply = await _unless_gone(self._reply(call, scope["headers"], body), receive)
        if reply is not None:
            await _send(send, reply)

    async def answer(self, url: bytes, headers: Headers, body: bytes) -> Reply:
        """Answer a POST to what is or was a direct URL; cancelled, it drops the work.

        Args:
            url: the request target.
            headers: the request's.
            body: the whole body.
        """
        return await self._reply(self._direct_calls[url], headers, body)

    async def _reply(self, call: _Call, headers: Headers, body: bytes) -> Reply:
        try:
            _check_size(len(body), self._model.limits.max_body_bytes)
            time_left_s = _time_left_s(headers, at_most_s=self._model.deadline_s)
            content, said = await self._routes[call.route](call.names, headers, body, time_left_s)
            reply = Reply(200, [*said, *_echoed(headers)], content)
        except asyncio.CancelledError:
            self._count(call, 499)
            raise
        except PredictorError as error:
            reply = _refusal(error, headers)
        except Exception as error:
            log.exception("request failed", extra={"route": call.route, "error": type(error).__name__})
            reply = _refusal(PredictorError("the predictor failed"), headers)
        self._count(call, reply.status)
        return reply

    def _count(self, call: _Call, status: int) -> None:
        self._metrics.requests.labels(call.route, str(status)).inc()

    async def _infer(
        self, names: Sequence[str | None], headers: Headers, body: bytes, time_left_s: float
    ) -> tuple[bytes, Headers]:
        model = self._model
        model.check_name(str(names[0]), names[1])
        header_length = next((value for name, value in headers if name == oip.HEADER_LENGTH), None)
        call = oip.parse_infer(body, header_length=header_length, limits=model.limits)
        answer = await model.classifier.classify(call.texts, time_left_s=time_left_s)
        content, json_bytes = oip.format_infer(
            call, answer, model_name=model.name, model_version=model.version, labels=model.labels
        )
        said = self._answer_headers(answer)
        if json_bytes is None:
            return content, [_JSON, *said]
        return content, [_BINARY, (oip.HEADER_LENGTH, b"%d" % json_bytes), *said]

    async def _predict(
        self, names: Sequence[str | None], _headers: Headers, body: bytes, time_left_s: float
    ) -> tuple[bytes, Headers]:
        self._model.check_name(str(names[0]))
        texts = parse_v1(body, limits=self._model.limits)
        answer = await self._model.classifier.classify(texts, time_left_s=time_left_s)
        return format_v1(answer, self._model.labels), [_JSON, *self._answer_headers(answer)]

    def _answer_headers(self, answer: Answer) -> Headers:
        timing = answer.timing
        spent = (timing.tokenise_s * 1e3, timing.queue_s * 1e3, timing.inference_s * 1e3)
        headers = [
            (b"x-model-version", self._model.version.encode()),
            (b"server-timing", b"tokenise;dur=%.3f, queue;dur=%.3f, inference;dur=%.3f" % spent),
        ]
        if answer.truncated:
            headers.append((b"x-truncated", b"%d" % len(answer.truncated)))
        return headers


def format_v1(answer: Answer, labels: Sequence[str]) -> bytes:
    """Write the V1 response: per text all labels with their scores, best first, equals in class order."""
    order = np.argsort(-answer.scores, axis=1, kind="stable")
    predictions = [
        [{"label": labels[index], "score": row[index]} for index in best]
        for row, best in zip(answer.scores, order, strict=True)
    ]
    return orjson.dumps({"predictions": predictions}, option=orjson.OPT_SERIALIZE_NUMPY)


def error_headers(error: PredictorError) -> Headers:
    """Give the headers of an error response."""
    headers = [_JSON]
    if isinstance(error, MethodNotAllowedError):
        headers.append((b"allow", b"POST"))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    return headers


def _refusal(error: PredictorError, headers: Headers, *more: tuple[bytes, bytes]) -> Reply:
    return Reply(error.status, [*error_headers(error), *more, *_echoed(headers)], orjson.dumps(error.body()))


def _echoed(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name == b"x-request-id"]


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise BodyTooLargeError(f"the body is larger than {max_bytes} bytes")


async def _read_body(scope: Scope, receive: Receive, *, max_bytes: int) -> bytes:
    if scope["method"] != "POST":
        raise MethodNotAllowedError("this route takes POST")
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    _check_size(int(announced) if announced.isdigit() else 0, max_bytes)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        _check_size(size, max_bytes)
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _unless_gone(work: Coroutine[Any, Any, Reply], receive: Receive) -> Reply | None:
    """Wait for the answer; when the client goes first, stop the work and give None."""
    this = asyncio.current_task()
    waits = True

    async def watch() -> None:
        await receive()
        if waits and this:
            this.cancel()

    watcher = asyncio.ensure_future(watch())
    try:
        return await work
    except asyncio.CancelledError:
        if watcher.done():
            return None
        raise
    finally:
        waits = False
        watcher.cancel()


def _time_left_s(headers: Headers, *, at_most_s: float) -> float:
    """Give the caller's own deadline when it states a shorter one than ours."""
    stated = next((value for name, value in headers if name == _TIMEOUT), b"")
    return min(at_most_s, int(stated) / 1000) if stated.isdigit() and len(stated) < 10 else at_most_s


async def _send(send: Send, reply: Reply) -> None:
    length = (b"content-length", b"%d" % len(reply.content))
    await send({"type": "http.response.start", "status": reply.status, "headers": [*reply.headers, length]})
    await send({"type": "http.response.body", "body": reply.content})
