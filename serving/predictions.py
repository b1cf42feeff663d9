"""Answers the routes that take texts or tensors: a body in, a reply out, at once if possible."""

import functools
import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from serving.cloudevents import CloudEvents, Event
from serving.errors import InvalidRequestError, ModelNotFoundError, PayloadTooLargeError, ServiceError
from serving.http.encoding import decoded
from serving.http.reply import Headers, Reply
from serving.oip import rest
from serving.request_id import REQUEST_ID
from serving.service import Inferred, Service
from serving.tracing import trace_id

log = logging.getLogger(__name__)

PREDICT_V1 = "/v1/models/{model_name}:predict"
INFER = "/v2/models/{model_name}/infer"
INFER_CALL = "/inference.GRPCInferenceService/ModelInfer"

_V1_PATH = re.compile(r"/v1/models/[^/:]+:predict")
_INFER_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
# Rare headers that change how a body is read or answered.
_UNUSUAL = frozenset({b"content-encoding", b"ce-specversion"})

Begun = Reply | Coroutine[Any, Any, Reply]
"""A reply, or a coroutine that gives it."""

TextsOf = Callable[[bytes], list[str]]
"""Gives the texts of a body; raises InvalidRequestError."""


class Route(NamedTuple):
    """A route that takes POST: its name for people and counters, and what answers a body."""

    name: str
    begin: Callable[[bytes, Headers, float], Begun]


class Predictions:
    """Answers V1, the Open Inference Protocol, and a server's own text routes.

    Args:
        service: classifies.
        max_body_bytes: most bytes a body may have, before and after its content encoding.
        events: reads and answers CloudEvents.
        texts: further text routes: by path, the route's name and what reads its body.

    Attributes:
        routes: by exact path.
    """

    def __init__(
        self,
        *,
        service: Service,
        max_body_bytes: int,
        events: CloudEvents,
        texts: Mapping[str, tuple[str, TextsOf]] | None = None,
    ) -> None:
        self._service = service
        self.max_body_bytes = max_body_bytes
        self._events = events
        v1 = {PREDICT_V1.format(model_name=service.name): (PREDICT_V1, service.schema.v1)}
        self.routes = {
            path: Route(name, functools.partial(self._begin_texts, texts_of))
            for path, (name, texts_of) in {**(texts or {}), **v1}.items()
        }
        infer = Route(INFER, functools.partial(self._begin_infer, service.name, None))
        self.routes[INFER.format(model_name=service.name)] = infer

    def route(self, path: str) -> Route | None:
        """Give the route of a path, also of other models and versions; None if there is none."""
        route = self.routes.get(path)
        if route is None and (asked := _INFER_PATH.fullmatch(path)):
            return Route(INFER, functools.partial(self._begin_infer, asked[1], asked[2]))
        if route is None and _V1_PATH.fullmatch(path):
            return Route(PREDICT_V1, _no_such_model)
        return route

    def begin(self, route: Route, headers: Headers, body: bytes, started: float) -> Begun:
        """Answer a body, or give a coroutine for ``finish`` to await; errors are replies too."""
        try:
            if len(body) > self.max_body_bytes:
                return refusal(PayloadTooLargeError(limit_bytes=self.max_body_bytes))
            for name, _ in headers:
                if name in _UNUSUAL:
                    return self._begin_unusual(route, headers, body, started)
            return route.begin(body, headers, started)
        except ServiceError as error:
            return refusal(error)
        except Exception as error:  # noqa: BLE001 - a bug costs its request only
            return _failed(route, headers, error)

    async def finish(self, begun: Coroutine[Any, Any, Reply], route: Route, headers: Headers) -> Reply:
        """Await the answer that was begun; raises nothing but its own cancellation."""
        try:
            return await begun
        except ServiceError as error:
            return refusal(error)
        except Exception as error:  # noqa: BLE001 - a bug costs its request only
            return _failed(route, headers, error)

    def _begin_unusual(self, route: Route, headers: Headers, body: bytes, started: float) -> Begun:
        encodings = [value for name, value in headers if name == b"content-encoding"]
        body = decoded(body, b",".join(encodings), limit_bytes=self.max_body_bytes)
        begun = route.begin(body, headers, started)
        event = self._events.binary(body, headers) if route.name != INFER else None
        return begun if event is None else self._answer_event(event, begun)

    def _begin_texts(self, texts_of: TextsOf, body: bytes, headers: Headers, started: float) -> Begun:
        try:
            texts = texts_of(body)
        except InvalidRequestError:
            event = self._events.structured(body, headers)
            if event is None:
                raise
            return self._answer_event(event, self._service.predict(texts_of(event.data), headers, started=started))
        return self._service.predict(texts, headers, started=started)

    def _answer_event(self, event: Event, begun: Begun) -> Begun:
        if isinstance(begun, Reply):
            return self._events.reply(event, begun)

        async def answer() -> Reply:
            return self._events.reply(event, await begun)

        return answer()

    def _begin_infer(self, model: str, version: str | None, body: bytes, headers: Headers, started: float) -> Begun:
        service = self._service
        service.check_model(model, version)
        header_length = next((value for name, value in headers if name == rest.HEADER_LENGTH), None)
        call = rest.parse(body, header_length=header_length, schema=service.schema)
        begun = service.infer(call.texts, headers, started=started)

        def reply(inferred: Inferred) -> Reply:
            inferred.check_version(version)
            content, described = rest.write(call, inferred.tensors, model_name=service.name)
            return Reply(200, [*described, *inferred.headers], content, inferred.outcome)

        if isinstance(begun, Inferred):
            return reply(begun)

        async def answer() -> Reply:
            return reply(await begun)

        return answer()


def refusal(error: ServiceError, *more: tuple[bytes, bytes]) -> Reply:
    """Turn an error into a reply."""
    return Reply(error.status, [*error.headers(), *more], error.body(), "error")


def _failed(route: Route, headers: Headers, error: Exception) -> Reply:
    log.error("a request failed", extra={"route": route.name, **named(headers)}, exc_info=error)
    return refusal(ServiceError())


def named(headers: Headers) -> dict[str, str | None]:
    """Give what identifies a request in a log line."""
    request_id = next((value.decode("latin-1") for name, value in headers if name == REQUEST_ID), None)
    return {"request_id": request_id, "trace_id": trace_id(headers)}


def _no_such_model(_body: bytes, _headers: Headers, _started: float) -> Reply:
    raise ModelNotFoundError
