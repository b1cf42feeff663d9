"""Splits what a connection has received into requests, with no socket or clock."""

from string import ascii_uppercase

from serving.errors import HeadersTooLargeError, MalformedRequestError
from serving.http.body import Body, ChunkedBody, SizedBody
from serving.http.head import Head
from serving.http.limits import HttpLimits

_END = b"\r\n\r\n"
_BLANK = b"\r\n"
_HIGH_WATER_BYTES = 65_536
_BEGINNINGS = ascii_uppercase.encode() + b"\r"


class Incoming:
    """Reads one request after another; a request is begun only when the next one is asked for.

    Args:
        limits: bounds of heads, trailers and their number.

    Attributes:
        body: of the request whose last byte has not arrived yet.
    """

    __slots__ = ("_at", "_blank_bytes", "_limits", "_most_waiting_bytes", "_unread", "body")

    def __init__(self, *, limits: HttpLimits) -> None:
        self._limits = limits
        self._most_waiting_bytes = max(_HIGH_WATER_BYTES, limits.head_bytes)
        self._unread = b""
        self._at = 0  # where in it reading goes on
        self._blank_bytes = 0
        self.body: Body | None = None

    @property
    def waiting_bytes(self) -> int:
        """How many bytes were received and not read."""
        return len(self._unread) - self._at

    @property
    def begun(self) -> bool:
        """Whether a part of a request, or of blank lines before it, has arrived."""
        return self.body is not None or self._at < len(self._unread) or self._blank_bytes > 0

    @property
    def crowded(self) -> bool:
        """Whether so much is waiting that no more should be received."""
        return len(self._unread) - self._at > self._most_waiting_bytes

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        self._unread = self._unread[self._at :] + data if self._unread else data
        self._at = 0

    def drop(self) -> None:
        """Forget all of it."""
        self._unread, self._at, self.body = b"", 0, None

    def next(self) -> tuple[Head, bytes] | None:
        """Give the next request's head, once it is complete, and what has arrived of the body.

        Where ``body`` is set afterwards, ``more`` gives the rest.

        Raises:
            ServiceError: it is malformed or too large.
        """
        unread, at = self._unread, self._at
        if at == len(unread):
            return None
        if unread.startswith(_BLANK, at):
            at = self._skip_blank_lines(at)
        end = unread.find(_END, at) + 4
        if (end - at if end > 3 else len(unread) - at) > self._limits.head_bytes:
            raise HeadersTooLargeError
        if end == 3:
            if at < len(unread) and unread[at] not in _BEGINNINGS:
                raise MalformedRequestError  # waiting for its end would be in vain
            return None
        head = Head(unread[at:end], fields=self._limits.fields)
        self._blank_bytes = 0
        length = head.length
        if not head.chunked and end + length <= len(unread):  # nearly always
            self._at = end + length
            return head, unread[end : self._at]
        body: Body = (
            ChunkedBody(spare_bytes=self._limits.head_bytes - (end - at), fields=self._limits.fields)
            if head.chunked
            else SizedBody(length=length)
        )
        content, self._at = body.read(unread, end)
        if not body.complete:
            self.body = body
        return head, content

    def more(self) -> bytes:
        """Give what has arrived of the rest of ``body``, which is None once that is all.

        Raises:
            ServiceError: the body is malformed, or beyond its bounds.
        """
        assert self.body is not None  # noqa: S101  # only then it is called
        content, self._at = self.body.read(self._unread, self._at)
        if self.body.complete:
            self.body = None
        return content

    def _skip_blank_lines(self, at: int) -> int:
        """Skip empty lines before a request (RFC 9112, 2.2), at most as many bytes as a head may have."""
        start = at
        while self._unread.startswith(_BLANK, at):
            at += 2
        self._at = at
        self._blank_bytes += at - start
        if self._blank_bytes > self._limits.head_bytes:
            raise HeadersTooLargeError
        return at
