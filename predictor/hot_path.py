"""The two REST routes that carry the traffic, V1 predict and OIP infer, as plain ASGI before the SDK's application.

They parse no more than they need, know when the client has gone, and write the answer in one go.
"""

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any

import numpy as np
import orjson

from predictor import oip
from predictor.errors import BodyTooLargeError, MethodNotAllowedError, PredictorError
from predictor.job import Answer
from predictor.metrics import Metrics
from predictor.requests import parse_v1
from predictor.service import ServedModel

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_V1 = re.compile(r"/v1/models/([^/:]+):predict")
_OIP = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_TIMEOUT = b"x-request-timeout-ms"


class _ClientGoneError(Exception):
    """Nobody is there to answer."""


class HotPath:
    """An ASGI application: answers predict and infer itself and leaves everything else to ``app``."""

    def __init__(self, *, app: AsgiApp, model: ServedModel, metrics: Metrics) -> None:
        self._app = app
        self._model = model
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102 - ASGI
        path = scope["path"] if scope["type"] == "http" else ""
        if match := _OIP.fullmatch(path):
            await self._answer("v2_infer", self._infer, match, scope, receive, send)
        elif match := _V1.fullmatch(path):
            await self._answer("v1_predict", self._predict, match, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(
        self,
        route: str,
        handle: Callable[[Sequence[str | None], Headers, bytes, float], Awaitable[tuple[bytes, Headers]]],
        match: re.Match[str],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Run one route's handler, until it answers, fails or its client goes away."""
        headers: Headers = scope["headers"]
        echoed = [(name, value) for name, value in headers if name == b"x-request-id"]
        status = 200
        try:
            body = await _read_body(scope, receive, max_bytes=self._model.limits.max_body_bytes)
            time_left_s = _time_left_s(headers, at_most_s=self._model.deadline_s)
            work = asyncio.ensure_future(handle(match.groups(), headers, body, time_left_s))
            content, answer_headers = await _unless_gone(work, receive)
        except _ClientGoneError:
            self._metrics.requests.labels(route, "499").inc()
            return
        except PredictorError as error:
            status, content, answer_headers = error.status, orjson.dumps(error.body()), error_headers(error)
        except Exception as error:
            log.exception("request failed", extra={"route": route, "error": type(error).__name__})
            failure = PredictorError("the predictor failed")
            status, content, answer_headers = failure.status, orjson.dumps(failure.body()), [_JSON]
        self._metrics.requests.labels(route, str(status)).inc()
        await _send(send, status, content, [*answer_headers, *echoed])

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
    if isinstance(error, BodyTooLargeError):
        # The rest of the body is not read, so the connection cannot be used again.
        headers.append((b"connection", b"close"))
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    return headers


async def _read_body(scope: Scope, receive: Receive, *, max_bytes: int) -> bytes:
    if scope["method"] != "POST":
        raise MethodNotAllowedError("this route takes POST")
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    too_large = BodyTooLargeError(f"the body is larger than {max_bytes} bytes")
    if announced.isdigit() and int(announced) > max_bytes:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > max_bytes:
            raise too_large
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _unless_gone(work: "asyncio.Future[tuple[bytes, Headers]]", receive: Receive) -> tuple[bytes, Headers]:
    """Wait for the answer; when the client goes first, stop the work."""
    gone = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise _ClientGoneError
    finally:
        for task in (work, gone):
            if not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task


def _time_left_s(headers: Headers, *, at_most_s: float) -> float:
    """Give the caller's own deadline when it states a shorter one than ours."""
    stated = next((value for name, value in headers if name == _TIMEOUT), b"")
    return min(at_most_s, int(stated) / 1000) if stated.isdigit() and len(stated) < 10 else at_most_s


async def _send(send: Send, status: int, content: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", b"%d" % len(content))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": content})
