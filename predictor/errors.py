"""What the predictor says when it cannot answer.

PredictorError                 base: HTTP status, code slug, whether a retry may help
├── InvalidRequestError   422  not JSON, or against the schema
│   └── InvalidTensorError 400 the same on OIP routes, as that protocol asks
├── BodyTooLargeError     413
├── NotFoundError         404  no such model, version or route
├── MethodNotAllowedError 405
├── NotServedError        501  the SDK has the route, this model does not do it
├── OverloadedError       503  queue full, or the turn would come too late; says when to come back
├── ShuttingDownError     503
├── DeadlineExceededError 504  the time of the request passed before its answer
└── InferenceFailedError  500  the engine refused this very text

CheckpointError, EngineUnavailableError: never reach a client, they stop the process at start.
"""

from typing import ClassVar, TypedDict


class Detail(TypedDict):
    """One place of a request that is wrong; ``msg`` never repeats what stands there."""

    loc: list[str | int]
    msg: str
    type: str


class PredictorError(Exception):
    """An answer other than 200, with a sentence that is safe to show to the caller."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, sentence: str, *, detail: list[Detail] | None = None, retry_after_s: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.detail = detail
        self.retry_after_s = retry_after_s

    def body(self) -> dict[str, object]:
        """Give the one JSON body that every error has."""
        body: dict[str, object] = {"error": self.sentence, "code": self.code}
        if self.detail:
            body["detail"] = self.detail
        return body


class InvalidRequestError(PredictorError):
    """The body is not JSON or does not follow the schema."""

    status = 422
    code = "invalid_request"


class InvalidTensorError(InvalidRequestError):
    """An Open Inference Protocol request that does not describe one BYTES tensor of texts."""

    status = 400


class BodyTooLargeError(PredictorError):
    """The body is larger than PREDICTOR_MAX_BODY_BYTES."""

    status = 413
    code = "too_large"


class NotFoundError(PredictorError):
    """No such model, version or route."""

    status = 404
    code = "not_found"


class MethodNotAllowedError(PredictorError):
    """The route exists and does not take this method."""

    status = 405
    code = "method_not_allowed"


class NotServedError(PredictorError):
    """The protocol knows this operation, the predictor does not do it."""

    status = 501
    code = "not_implemented"


class OverloadedError(PredictorError):
    """The queue has no room, or what stands in it would take too long."""

    status = 503
    code = "overloaded"
    retryable = True


class ShuttingDownError(PredictorError):
    """The process drains and takes nothing new."""

    status = 503
    code = "shutting_down"
    retryable = True


class DeadlineExceededError(PredictorError):
    """The time of the request passed before its answer."""

    status = 504
    code = "deadline_exceeded"
    retryable = True


class InferenceFailedError(PredictorError):
    """The engine failed on a text of this request."""

    status = 500
    code = "inference_failed"


class CheckpointError(Exception):
    """A checkpoint directory cannot be served; the sentence names the file and the reason."""


class EngineUnavailableError(Exception):
    """The engine or precision asked for does not exist on this machine."""
