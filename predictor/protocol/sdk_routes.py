"""What the SDK's application serves beside the hot path: our metadata, our error bodies, and no model loading."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from kserve import errors as sdk
from starlette.exceptions import HTTPException

from predictor.errors import InvalidTensorError, MethodNotAllowedError, NotFoundError, NotServedError, PredictorError
from predictor.protocol.hot_path import error_headers
from predictor.protocol.service import ServedModel

log = logging.getLogger(__name__)

_MODEL = "/v2/models/{model_name}"
_REFUSED = ("/v2/repository/models/{model_name}/load", "/v2/repository/models/{model_name}/unload")


def add_routes(app: FastAPI, *, model: ServedModel) -> None:
    """Put our routes on ``app`` before the SDK adds its own, so that ours match first."""

    async def metadata(model_name: str, model_version: str | None = None) -> Response:
        model.check_name(model_name, model_version)
        return _json(200, model.metadata())

    async def ready(model_name: str, model_version: str) -> Response:
        model.check_name(model_name, model_version)
        return _json(200, {"name": model_name, "ready": True})

    async def refuse(model_name: str) -> Response:
        raise NotFoundError(f"models are not loaded or unloaded by request, {model_name} neither")

    async def explain() -> Response:
        # The SDK would read a body of any size before it says so.
        raise NotServedError("explanations are not served")

    app.add_api_route("/v1/models/{model_name}:explain", explain, methods=["POST"], include_in_schema=False)
    app.add_api_route(_MODEL, metadata, methods=["GET"], include_in_schema=False)
    app.add_api_route(_MODEL + "/versions/{model_version}", metadata, methods=["GET"], include_in_schema=False)
    app.add_api_route(_MODEL + "/versions/{model_version}/ready", ready, methods=["GET"], include_in_schema=False)
    for path in _REFUSED:
        app.add_api_route(path, refuse, methods=["POST"], include_in_schema=False)


def add_error_handlers(app: FastAPI) -> None:
    """Give every error the one body; call after the SDK has set its handlers, which these replace."""
    for kind, handler in _handlers().items():
        app.add_exception_handler(kind, handler)


def _handlers() -> dict[type[Exception], Callable[[Request, Any], Awaitable[Response]]]:
    async def own(_: Request, error: PredictorError) -> Response:
        return _error(error)

    async def schema(_: Request, __: RequestValidationError) -> Response:
        return _error(InvalidTensorError("the request does not follow the protocol's schema"))

    async def http(_: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            response = _error(MethodNotAllowedError("this route does not take this method"))
            response.headers["allow"] = (error.headers or {}).get("Allow", "")
            return response
        if error.status_code == 404:
            return _error(NotFoundError("no such route"))
        return _error(InvalidTensorError("the request cannot be read"))

    async def no_model(_: Request, __: Exception) -> Response:
        return _error(NotFoundError("no such model"))

    async def not_served(_: Request, __: Exception) -> Response:
        return _error(NotServedError("this is not served"))

    async def invalid(_: Request, __: Exception) -> Response:
        return _error(InvalidTensorError("the request cannot be read"))

    async def unforeseen(_: Request, error: Exception) -> Response:
        log.error("request failed", extra={"error": type(error).__name__}, exc_info=error)
        return _error(PredictorError("the predictor failed"))

    return {
        PredictorError: own,
        RequestValidationError: schema,
        HTTPException: http,
        sdk.ModelNotFound: no_model,
        sdk.ModelNotReady: no_model,
        NotImplementedError: not_served,
        sdk.UnsupportedProtocol: not_served,
        sdk.InvalidInput: invalid,
        Exception: unforeseen,
    }


def _json(status: int, value: object) -> Response:
    return Response(orjson.dumps(value), status_code=status, media_type="application/json")


def _error(error: PredictorError) -> Response:
    headers = {name.decode(): value.decode() for name, value in error_headers(error) if name != b"content-type"}
    response = _json(error.status, error.body())
    response.headers.update(headers)
    return response
