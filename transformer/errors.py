"""What can go wrong beyond what both servers share, and how a client is told.

ServiceError (serving.errors)
├── PredictorError
│   ├── PredictorRefusedError       the predictor's own 4xx, passed on
│   ├── PredictorUnavailableError   503: away, or its queue is full; says when to come back
│   ├── PredictorTimeoutError       504: no answer within the deadline
│   ├── PredictorFailedError        500: the predictor failed on these texts
│   └── PredictorNonsenseError      502: an answer that is not what was asked for
└── VersionConflictError            503: model versions changed faster than one answer could be put together
"""

from serving.errors import ServiceError


class PredictorError(ServiceError):
    """Base of what the predictor's side causes."""


class PredictorRefusedError(PredictorError):
    """The predictor refused what this service let through; its status is passed on."""

    code = "predictor_refused"
    sentence = "The predictor refused the request."


class PredictorUnavailableError(PredictorError):
    """The predictor is away or its queue is full."""

    status = 503
    code = "predictor_unavailable"
    retryable = True
    sentence = "The predictor is not available."
    retry_after_s = 1


class PredictorTimeoutError(PredictorError):
    """The predictor gave no answer within the deadline."""

    status = 504
    code = "predictor_timeout"
    retryable = True
    sentence = "The predictor did not answer in time."
    retry_after_s = 1


class PredictorFailedError(PredictorError):
    """The predictor failed on these texts."""

    status = 500
    code = "predictor_failed"
    sentence = "The predictor failed."


class PredictorNonsenseError(PredictorError):
    """The predictor's answer is not what was asked for."""

    status = 502
    code = "bad_predictor_answer"
    sentence = "The predictor's answer could not be understood."


class VersionConflictError(ServiceError):
    """Model versions changed faster than one answer could be put together."""

    status = 503
    code = "model_version_conflict"
    retryable = True
    sentence = "The model is being replaced; try again."
    retry_after_s = 1
