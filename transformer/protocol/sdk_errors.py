"""Gives every error that the SDK's routes can raise the one error body."""

import logging
from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from kserve import errors as sdk
from starlette.exceptions import HTTPException

from transformer.errors import (
    InvalidRequestError,
    MethodNotAllowedError,
    ModelNotFoundError,
    NotFoundError,
    TransformerError,
)

log = logging.getLogger(__name__)
_MOST_FINDINGS = 16


class _NotServedError(TransformerError):
    """The protocol has it, this service does not."""

    status = 501
    code = "not_implemented"


def install(app: FastAPI) -> None:
    """Register the handlers; call it after the SDK has registered its own, which they replace."""
    for raised, handler in _HANDLERS.items():
        app.add_exception_handler(raised, handler)


def _respond(error: TransformerError, headers: dict[str, str] | None = None) -> Response:
    sent = dict(headers or {})
    if error.retry_after_s is not None:
        sent["retry-after"] = str(error.retry_after_s)
    return Response(error.body(), status_code=error.status, headers=sent, media_type="application/json")


async def _own(_: Request, error: Exception) -> Response:
    assert isinstance(error, TransformerError)  # noqa: S101  # registered for nothing else
    return _respond(error)


async def _invalid_body(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for nothing else
    findings = error.errors()[:_MOST_FINDINGS]
    detail = [{"loc": list(f["loc"][:4]), "msg": f["msg"], "type": f["type"]} for f in findings]
    return _respond(InvalidRequestError("The body breaks the protocol's schema.", detail=detail, status=400))


async def _invalid_input(_: Request, error: Exception) -> Response:
    # The SDK's sentences can quote the request.
    log.debug("the SDK refused a request", exc_info=error)
    return _respond(InvalidRequestError("The request could not be decoded.", status=400))


async def _no_model(_: Request, __: Exception) -> Response:
    return _respond(ModelNotFoundError())


async def _not_served(_: Request, __: Exception) -> Response:
    return _respond(_NotServedError("This is not served here."))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  # registered for nothing else
    if error.status_code == 405:
        return _respond(MethodNotAllowedError(), dict(error.headers or {}))
    if error.status_code == 404:
        return _respond(NotFoundError())
    status = error.status_code
    return _respond(InvalidRequestError("The request could not be read.", status=status) if status < 500 else _bug())


async def _unforeseen(_: Request, error: Exception) -> Response:
    log.error("a request failed", exc_info=error, extra={"event": "bug"})
    return _respond(_bug())


def _bug() -> TransformerError:
    return TransformerError("The service failed.")


_HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    TransformerError: _own,
    RequestValidationError: _invalid_body,
    HTTPException: _http,
    sdk.InvalidInput: _invalid_input,
    sdk.ModelNotFound: _no_model,
    sdk.ModelNotReady: _no_model,
    sdk.InferenceError: _invalid_input,
    sdk.UnsupportedProtocol: _not_served,
    NotImplementedError: _no_model,  # raised for a version asked for by name, which nobody has here
    Exception: _unforeseen,
}
