"""HTTP connections that cannot be used up: bounded heads, bounded time to send a request, a bounded number.

uvicorn waits without end for the rest of a request and keeps headers of any size.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from predictor.direct_http import DirectHttp
from predictor.errors import PredictorError


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a connection may take.

    Attributes:
        head_bytes: of a request line and its headers.
        receive_s: from connecting, or from a request's first byte, to its last.
        connections: open at once; more are closed unheard.
    """

    head_bytes: int
    receive_s: float
    connections: int


class MalformedHttpError(PredictorError):
    """What came is no HTTP request."""

    status = 400
    code = "malformed_request"


class SlowRequestError(PredictorError):
    """The request did not arrive in time."""

    status = 408
    code = "request_timeout"


class HeadTooLargeError(PredictorError):
    """The request line and headers are larger than what is read."""

    status = 431
    code = "headers_too_large"


class BoundedHttp(DirectHttp):
    """The HTTP protocol within ``bounds``; it refuses with the one error body and closes."""

    def __init__(self, *, bounds: Bounds, **options: Any) -> None:
        super().__init__(**options)
        self._bounds = bounds
        self._head_bytes = 0
        self._reads_head = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the time of a first request."""
        super().connection_made(transport)
        if len(self.connections) > self._bounds.connections:
            transport.abort()
        else:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, unless a head has grown beyond the bound."""
        if self._reads_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._reads_head and self._head_bytes > self._bounds.head_bytes:
            self._refuse(HeadTooLargeError("the request's headers are too large"))

    def on_message_begin(self) -> None:
        """Start the time of a request, unless it runs since the connection was made."""
        super().on_message_begin()
        self._reads_head = True
        self._start_timer()

    def on_headers_complete(self) -> None:
        """See that a head that came in one piece is within the bound too."""
        self._reads_head = False
        self._head_bytes = 0
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > self._bounds.head_bytes:
            self._refuse(HeadTooLargeError("the request's headers are too large"))
            raise httptools.HttpParserError("refused")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Stop the time: the request is here."""
        super().on_message_complete()
        self._stop_timer()

    def send_400_response(self, _parsers_words: str) -> None:
        """Refuse what the parser cannot read."""
        self._refuse(MalformedHttpError("this is no HTTP request"))

    def _start_timer(self) -> None:
        if self._timer is None:
            late = SlowRequestError("the request did not arrive in time")
            self._timer = self.loop.call_later(self._bounds.receive_s, self._refuse, late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, error: PredictorError) -> None:
        self._stop_timer()
        if self.transport.is_closing():
            return
        # In the midst of an answer, or before one that is still owed, another would only confuse.
        idle = self.cycle is None or self.cycle.response_complete
        if idle or not (self._reads_head or self.cycle.response_started or self.pipeline):
            content = orjson.dumps(error.body())
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(content)
            self.transport.write(STATUS_LINE[error.status] + head + content)
        self.transport.close()
