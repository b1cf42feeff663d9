"""Reads a request's body as its head announced it, and not a byte beyond."""

import re
from typing import Protocol

from serving.errors import HeadersTooLargeError, MalformedRequestError

_FIELD_BYTES = rb"[^\x00-\x08\x0a-\x1f\x7f]*"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;" + _FIELD_BYTES + rb")?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:" + _FIELD_BYTES)
_LONGEST_SIZE_DIGITS = 15


class Body(Protocol):
    """A body under way.

    Attributes:
        complete: whether its last byte was read.
    """

    complete: bool

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Give the content in ``data`` from ``at`` on, and where reading continues.

        Raises:
            ServiceError: the body is malformed, or beyond its bounds.
        """


class SizedBody:
    """A body of known length.

    Args:
        length: its bytes.
    """

    __slots__ = ("_left", "complete")

    def __init__(self, *, length: int) -> None:
        self._left = length
        self.complete = not length

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Give the content that has arrived."""
        content = data[at : at + self._left]
        self._left -= len(content)
        self.complete = not self._left
        return content, at + len(content)


class ChunkedBody:
    """A body in chunks; extensions and trailers are skipped, within bounds.

    Args:
        spare_bytes: most bytes of extensions and trailers.
        fields: most trailers.
    """

    __slots__ = ("_fields", "_in_trailers", "_left", "_spare_bytes", "complete")

    def __init__(self, *, spare_bytes: int, fields: int) -> None:
        self._spare_bytes = spare_bytes
        self._fields = fields
        self._left = 0  # of a chunk and the line end behind it
        self._in_trailers = False
        self.complete = False

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        """Give the content of the chunks that have arrived, whole or in part."""
        parts: list[bytes] = []
        while not self.complete:
            if self._left > 2:
                part = data[at : at + self._left - 2]
                parts.append(part)
                at += len(part)
                self._left -= len(part)
                if self._left > 2:
                    break
            if self._left:
                end = data[at : at + 2]
                if end != b"\r\n"[: len(end)]:
                    raise MalformedRequestError("A chunk is not as long as it says.")
                if len(end) < 2:
                    break
                self._left = 0
                at += 2
            end_of_line = data.find(b"\r\n", at)
            if end_of_line < 0:
                self._check_unfinished(len(data) - at)
                break
            line = data[at:end_of_line]
            at = end_of_line + 2
            if self._in_trailers:
                self._read_trailer(line)
            else:
                self._read_size(line)
        return b"".join(parts), at

    def _read_size(self, line: bytes) -> None:
        match = _SIZE.fullmatch(line)
        if match is None:
            raise MalformedRequestError("A chunk's size is not a number.")
        digits = match[1]
        self._spend(len(line) - len(digits))
        size = int(digits, 16)
        if size:
            self._left = size + 2
        else:
            self._in_trailers = True

    def _read_trailer(self, line: bytes) -> None:
        if not line:
            self.complete = True
            return
        self._spend(len(line) + 2)
        self._fields -= 1
        if self._fields < 0:
            raise HeadersTooLargeError
        if not _TRAILER.fullmatch(line):
            raise MalformedRequestError("A trailer is not a field.")

    def _spend(self, size: int) -> None:
        self._spare_bytes -= size
        if self._spare_bytes < 0:
            raise HeadersTooLargeError

    def _check_unfinished(self, size: int) -> None:
        if size > self._spare_bytes + _LONGEST_SIZE_DIGITS + 1:
            raise HeadersTooLargeError
