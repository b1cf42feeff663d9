"""What one connection may take: header bytes, time to send a request, and a place among so many connections.

uvicorn waits for ever for a request that never ends and keeps headers of any size. Behind Envoy neither happens; this
holds where nothing stands in front. A request that arrives in one piece, as nearly all do, costs two comparisons more.
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from transformer.direct_http import DirectHttp


@dataclass(frozen=True, kw_only=True)
class HttpLimits:
    """Bounds of one connection, and of their number.

    Attributes:
        head_bytes: request line and headers together.
        receive_s: seconds from a request's first byte to its last.
        connections: open at a time; further ones are closed at once.
    """

    head_bytes: int
    receive_s: float
    connections: int


_TOO_LARGE_HEAD = (431, "headers_too_large", "The request line and headers are too large.")
_TOO_SLOW = (408, "request_timeout", "The request did not arrive in time.")
_MALFORMED = (400, "malformed_request", "This is not an HTTP request.")


class LimitedHttp(DirectHttp):
    """The protocol within limits; what it refuses gets the one error body."""

    def __init__(self, *, limits: HttpLimits, **options: Any) -> None:
        super().__init__(**options)
        self._limits = limits
        self._chunk_bytes = 0
        self._head_bytes = 0
        self._in_head = self._incomplete = False
        self._receive_timer: asyncio.TimerHandle | None = None
        self._refusal = _MALFORMED

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Take a connection, or close it when there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            transport.abort()
            return
        # One that never says a word is as idle as one that has stopped talking.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of everything."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came; watch the time of a request that is not complete."""
        self._chunk_bytes = len(data)
        super().data_received(data)
        if not self._incomplete:
            if self._receive_timer is not None:
                self._stop_timer()
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes:
                self._refuse(_TOO_LARGE_HEAD)
                return
        if self._receive_timer is None and not self.transport.is_closing():
            self._receive_timer = self.loop.call_later(self._limits.receive_s, self._refuse, _TOO_SLOW)

    def on_message_begin(self) -> None:
        """Start a request."""
        super().on_message_begin()
        self._in_head = self._incomplete = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """Check the size of the headers, which can only be too large when the pieces they came in were."""
        self._in_head = False
        most_bytes = self._limits.head_bytes
        if self._head_bytes + self._chunk_bytes > most_bytes:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > most_bytes:
                self._refusal = _TOO_LARGE_HEAD
                raise httptools.HttpParserError("headers too large")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End a request; the time of the next one starts anew."""
        super().on_message_complete()
        self._incomplete = False
        if self._receive_timer is not None:
            self._stop_timer()

    def send_400_response(self, _msg: str) -> None:
        """Refuse what the parser refuses; the parser's words stay here."""
        self._refuse(self._refusal)

    def _refuse(self, refusal: tuple[int, str, str]) -> None:
        self._stop_timer()
        self._incomplete = False
        if self.transport.is_closing():
            return
        idle = self.cycle is None or self.cycle.response_complete
        unanswered = not self._in_head and not self.pipeline and not idle and not self.cycle.response_started
        if idle or unanswered:  # otherwise it would fall into the midst of another answer
            status, code, sentence = refusal
            content = orjson.dumps({"error": sentence, "code": code})
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(content)
            self.transport.write(STATUS_LINE[status] + head + content)
        self.transport.close()

    def _stop_timer(self) -> None:
        if self._receive_timer is not None:
            self._receive_timer.cancel()
            self._receive_timer = None
