"""The transformer's own errors, beside those that both servers share.

ServiceError (serving.errors)
├── PredictorError
│   ├── PredictorRefusedError       the predictor's own 4xx, passed on
│   ├── PredictorUnavailableError   503: down, or its queue is full; says when to retry
│   ├── PredictorTimeoutError       504: no answer within the deadline
│   ├── PredictorFailedError        500: the predictor failed on these texts
│   └── PredictorNonsenseError      502: an answer that does not fit the request
└── VersionConflictError            503: model versions changed faster than one answer could be assembled
"""

from serving.errors import ServiceError


class PredictorError(ServiceError):
    """Base of the errors that the predictor causes."""


class PredictorRefusedError(PredictorError):
    """The predictor refused what this service accepted; its status is passed on."""

    code = "predictor_refused"
    sentence = "The predictor refused the request."


class PredictorUnavailableError(PredictorError):
    """The predictor is down or its queue is full."""

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
    """The predictor's answer does not fit the request."""

    status = 502
    code = "bad_predictor_answer"
    sentence = "The predictor's answer could not be understood."


class VersionConflictError(ServiceError):
    """Model versions changed faster than one answer could be assembled."""

    status = 503
    code = "model_version_conflict"
    retryable = True
    sentence = "The model is being replaced; try again."
    retry_after_s = 1
