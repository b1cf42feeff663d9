"""What the SDK's application serves beside predictions: true metadata, the shared error body, no model loading."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from kserve import errors as sdk
from starlette.exceptions import HTTPException

from serving.errors import (
    InvalidRequestError,
    MethodNotAllowedError,
    ModelNotFoundError,
    NotFoundError,
    NotImplementedByServiceError,
    ServiceError,
)
from serving.service import Service

log = logging.getLogger(__name__)

_MODEL = "/v2/models/{model_name}"
_VERSION = _MODEL + "/versions/{model_version}"
_LOADING = ("/v2/repository/models/{model_name}/load", "/v2/repository/models/{model_name}/unload")


def add_routes(app: FastAPI, *, service: Service) -> None:
    """Put our routes on ``app`` before the SDK adds its own, so that ours match first."""

    async def metadata(model_name: str, model_version: str | None = None) -> Response:
        service.check_model(model_name, model_version)
        return _json(service.metadata())

    async def ready(model_name: str, model_version: str) -> Response:
        service.check_model(model_name, model_version)
        return _json({"name": model_name, "ready": True})

    async def loading() -> Response:
        raise NotFoundError("Models are not loaded or unloaded on request.")

    async def explain() -> Response:
        raise NotImplementedByServiceError("Explanations are not served.")

    # The SDK would redirect a path with a trailing slash, and few clients resend the body.
    app.router.redirect_slashes = False
    hidden: dict[str, Any] = {"include_in_schema": False}
    app.add_api_route("/v1/models/{model_name}:explain", explain, methods=["POST"], **hidden)
    app.add_api_route(_MODEL, metadata, methods=["GET"], **hidden)
    app.add_api_route(_VERSION, metadata, methods=["GET"], **hidden)
    app.add_api_route(_VERSION + "/ready", ready, methods=["GET"], **hidden)
    for path in _LOADING:
        app.add_api_route(path, loading, methods=["POST"], **hidden)


def add_error_handlers(app: FastAPI) -> None:
    """Give every error the same body; call it after the SDK has set its handlers, which these replace."""
    for kind, handler in _HANDLERS.items():
        app.add_exception_handler(kind, handler)


def _json(value: object) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _respond(error: ServiceError) -> Response:
    headers = {name.decode(): value.decode() for name, value in error.headers()}
    return Response(error.body(), status_code=error.status, headers=headers)


async def _own(_: Request, error: Any) -> Response:
    return _respond(error)


async def _http(_: Request, error: Any) -> Response:
    if error.status_code == 405:
        return _respond(MethodNotAllowedError(allow=(error.headers or {}).get("Allow", "")))
    if error.status_code == 404:
        return _respond(NotFoundError())
    return _respond(InvalidRequestError("The request could not be read.", status=400))


async def _unforeseen(_: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error)
    return _respond(ServiceError())


def _always(error: type[ServiceError], **options: Any) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(_: Request, __: Exception) -> Response:
        return _respond(error(**options))

    return handler


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    ServiceError: _own,
    # The SDK's own sentences can quote the request.
    RequestValidationError: _always(InvalidRequestError, status=400),
    HTTPException: _http,
    sdk.InvalidInput: _always(InvalidRequestError, status=400),
    sdk.InferenceError: _always(InvalidRequestError, status=400),
    sdk.ModelNotFound: _always(ModelNotFoundError),
    sdk.ModelNotReady: _always(ModelNotFoundError),
    sdk.UnsupportedProtocol: _always(NotImplementedByServiceError),
    NotImplementedError: _always(NotImplementedByServiceError),
    Exception: _unforeseen,
}
