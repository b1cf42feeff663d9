"""The errors that clients see: one body, one wording, on both servers.

ServiceError                       500, and the base of all: status, code, sentence, whether a retry may help
├── InvalidRequestError            422, or 400 on Open Inference Protocol routes: not JSON, or against the schema
├── MalformedRequestError          400: not HTTP
├── RequestTimeoutError            408: it took too long to arrive
├── PayloadTooLargeError           413
├── UnsupportedEncodingError       415: a content encoding that is not read
├── HeadersTooLargeError           431
├── NotFoundError                  404: no such route
├── ModelNotFoundError             404: no such model, or no such version of it
├── MethodNotAllowedError          405
├── NotImplementedByServiceError   501: the protocol has it, this service does not
├── VersionNotSupportedError       505: not HTTP/1.0 or HTTP/1.1
└── DrainingError                  503: the process is shutting down

Sentences never repeat input, and never hold a URL or a traceback.
"""

from collections.abc import Sequence
from typing import ClassVar, TypedDict

import orjson

from serving.http.reply import JSON, Headers


class Detail(TypedDict):
    """One finding: where in the request, what is wrong, which kind; never the value itself."""

    loc: list[str | int]
    msg: str
    type: str


class ServiceError(Exception):
    """An answer other than 200.

    Attributes:
        status: HTTP status code.
        code: slug for programs, stable over releases.
        retryable: whether the same request may succeed later.
        sentence: what people read.
        retry_after_s: seconds for ``Retry-After``, or None.
        detail: findings, or None.
    """

    status: int = 500
    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    sentence: str = "The service failed."
    retry_after_s: int | None = None

    def __init__(
        self,
        sentence: str | None = None,
        *,
        status: int | None = None,
        detail: Sequence[Detail] | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        # The class's own values hold unless others are given.
        if sentence is not None:
            self.sentence = sentence
        if status is not None:
            self.status = status
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s
        self.detail = detail
        super().__init__(self.sentence)

    def body(self) -> bytes:
        """Give the error body as JSON bytes."""
        content: dict[str, object] = {"error": self.sentence, "code": self.code}
        if self.detail:
            content["detail"] = self.detail
        return orjson.dumps(content)

    def headers(self) -> Headers:
        """Give the headers that go with the body."""
        if self.retry_after_s is None:
            return [JSON]
        return [JSON, (b"retry-after", b"%d" % self.retry_after_s)]


class InvalidRequestError(ServiceError):
    """The body is not JSON, or is against the schema."""

    status = 422
    code = "invalid_request"
    sentence = "The request is not valid."


class MalformedRequestError(ServiceError):
    """What came is not HTTP."""

    status = 400
    code = "malformed_request"
    sentence = "This is not an HTTP request."


class RequestTimeoutError(ServiceError):
    """The request took too long to arrive."""

    status = 408
    code = "request_timeout"
    sentence = "The request did not arrive in time."


class PayloadTooLargeError(ServiceError):
    """The body is over the limit."""

    status = 413
    code = "payload_too_large"

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"The request body is larger than {limit_bytes} bytes.")


class UnsupportedEncodingError(ServiceError):
    """The body has a content encoding that is not read."""

    status = 415
    code = "unsupported_encoding"
    sentence = "The request body may be plain or gzip, no other encoding."

    def headers(self) -> Headers:
        """Say which encodings are read."""
        return [*super().headers(), (b"accept-encoding", b"gzip, identity")]


class HeadersTooLargeError(ServiceError):
    """The request line and headers are over the limit."""

    status = 431
    code = "headers_too_large"
    sentence = "The request's headers are too large, or too many."


class NotFoundError(ServiceError):
    """No such route."""

    status = 404
    code = "not_found"
    sentence = "There is no such route."


class ModelNotFoundError(ServiceError):
    """No such model, or no such version of it."""

    status = 404
    code = "model_not_found"
    sentence = "There is no model of that name here."


class MethodNotAllowedError(ServiceError):
    """The route does not accept this method."""

    status = 405
    code = "method_not_allowed"
    sentence = "This route does not take that method."

    def __init__(self, *, allow: str) -> None:
        super().__init__()
        self._allow = allow.encode()

    def headers(self) -> Headers:
        """Say which methods the route takes."""
        return [*super().headers(), (b"allow", self._allow)]


class NotImplementedByServiceError(ServiceError):
    """In the protocol, but not in this service."""

    status = 501
    code = "not_implemented"
    sentence = "This is not served here."


class VersionNotSupportedError(ServiceError):
    """The request is in another version of HTTP."""

    status = 505
    code = "http_version_not_supported"
    sentence = "Only HTTP/1.1 and HTTP/1.0 are served."


class DrainingError(ServiceError):
    """The process is shutting down and takes nothing new."""

    status = 503
    code = "draining"
    retryable = True
    sentence = "The service is shutting down."
    retry_after_s = 1
