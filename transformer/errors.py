"""What can go wrong, and how a client is told.

TransformerError
├── InvalidRequestError      422, or 400 on Open Inference Protocol routes: the body is not JSON or breaks the schema
├── PayloadTooLargeError     413: the body is over the limit
├── NotFoundError            404: no such route
├── ModelNotFoundError       404: no such model
├── MethodNotAllowedError    405: the route has other methods
├── PredictorError
│   ├── PredictorRefusedError       the predictor's own 4xx, passed on
│   ├── PredictorUnavailableError   503: away, or its queue is full; says when to come back
│   ├── PredictorTimeoutError       504: no answer within the deadline
│   ├── PredictorFailedError        500: the predictor failed on these texts
│   └── PredictorNonsenseError      502: an answer that is not what was asked for
└── VersionConflictError     503: model versions changed faster than one answer could be put together

Sentences never carry input text, URLs or tracebacks.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import orjson


class TransformerError(Exception):
    """Base of everything a client is told.

    Attributes:
        status: HTTP status code.
        code: slug for programs, stable over releases.
        retryable: whether the same request may succeed later.
        retry_after_s: seconds for the ``Retry-After`` header, or None.
        detail: findings as ``{"loc", "msg", "type"}``, or None.
    """

    status: int = 500
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    retry_after_s: int | None = None
    detail: Sequence[dict[str, Any]] | None = None

    def body(self) -> bytes:
        """Give the one error body as JSON bytes."""
        content: dict[str, Any] = {"error": str(self), "code": self.code}
        if self.detail:
            content["detail"] = list(self.detail)
        return orjson.dumps(content)


class InvalidRequestError(TransformerError):
    """The body is not JSON or breaks the schema."""

    status = 422
    code = "invalid_request"

    def __init__(self, sentence: str, *, detail: Sequence[dict[str, Any]] | None = None, status: int = 422) -> None:
        super().__init__(sentence)
        self.detail = detail
        self.status = status


class PayloadTooLargeError(TransformerError):
    """The body is over the limit."""

    status = 413
    code = "payload_too_large"

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"The request body is larger than {limit_bytes} bytes.")


class NotFoundError(TransformerError):
    """No such route."""

    status = 404
    code = "not_found"

    def __init__(self) -> None:
        super().__init__("There is no such route.")


class ModelNotFoundError(TransformerError):
    """No such model."""

    status = 404
    code = "model_not_found"

    def __init__(self) -> None:
        super().__init__("There is no model of that name here.")


class MethodNotAllowedError(TransformerError):
    """The route has other methods."""

    status = 405
    code = "method_not_allowed"

    def __init__(self) -> None:
        super().__init__("This route does not take that method.")


class PredictorError(TransformerError):
    """Base of what the predictor's side causes."""


class PredictorRefusedError(PredictorError):
    """The predictor refused what this service let through; its status is passed on."""

    code = "predictor_refused"

    def __init__(self, *, status: int) -> None:
        super().__init__("The predictor refused the request.")
        self.status = status


class PredictorUnavailableError(PredictorError):
    """The predictor is away or its queue is full."""

    status = 503
    code = "predictor_unavailable"
    retryable = True

    def __init__(self, sentence: str = "The predictor is not available.", *, retry_after_s: int = 1) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class PredictorTimeoutError(PredictorError):
    """The predictor gave no answer within the deadline."""

    status = 504
    code = "predictor_timeout"
    retryable = True
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("The predictor did not answer in time.")


class PredictorFailedError(PredictorError):
    """The predictor failed on these texts."""

    status = 500
    code = "predictor_failed"

    def __init__(self) -> None:
        super().__init__("The predictor failed.")


class PredictorNonsenseError(PredictorError):
    """The predictor's answer is not what was asked for."""

    status = 502
    code = "bad_predictor_answer"

    def __init__(self) -> None:
        super().__init__("The predictor's answer could not be understood.")


class VersionConflictError(TransformerError):
    """Model versions changed faster than one answer could be put together."""

    status = 503
    code = "model_version_conflict"
    retryable = True
    retry_after_s = 1

    def __init__(self) -> None:
        super().__init__("The model is being replaced; try again.")
