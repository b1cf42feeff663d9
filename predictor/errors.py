"""The predictor's own errors, beside those that both servers share.

ServiceError (serving.errors)
├── OverloadedError        503: the queue is full, or the turn would come too late; says when to retry
├── DeadlineExceededError  504: the request's time ran out before its answer
└── InferenceFailedError   500: the engine failed on a text of this request

CheckpointError, EngineUnavailableError: never reach a client; they stop the process at start.
"""

from serving.errors import ServiceError


class OverloadedError(ServiceError):
    """The queue has no room, or waiting in it would take too long."""

    status = 503
    code = "overloaded"
    retryable = True
    sentence = "The queue is full."
    retry_after_s = 1


class DeadlineExceededError(ServiceError):
    """The request's time ran out before its answer."""

    status = 504
    code = "deadline_exceeded"
    retryable = True
    sentence = "The request's time ran out before its answer."


class InferenceFailedError(ServiceError):
    """The engine failed on a text of this request."""

    status = 500
    code = "inference_failed"
    sentence = "The model failed on a text of this request."


class CheckpointError(Exception):
    """A checkpoint directory cannot be served; the sentence names the file and the reason."""


class EngineUnavailableError(Exception):
    """The engine or precision asked for does not exist on this machine."""
