"""Reads a request's head: method, target, headers, and where the body ends.

llhttp checks the grammar. It sees one head and no byte more: this package alone decides where a request ends and the
next begins, from ``content-length`` and ``transfer-encoding`` and nothing else.
"""

import re

import httptools

from serving.errors import (
    HeadersTooLargeError,
    MalformedRequestError,
    NotImplementedByServiceError,
    VersionNotSupportedError,
)
from serving.http.reply import Headers

_REQUEST_LINE = re.compile(rb"([A-Z]+) ([!-\"$-~]+) HTTP/([0-9])\.([0-9])\r\n")
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://[^/?]+")
_ONCE = (b"content-length", b"host", b"transfer-encoding")


class Head:
    """A request line and its headers.

    Attributes:
        method: in capitals.
        target: path and query as sent, without scheme and host.
        version: ``1.0`` or ``1.1``.
        headers: in order.
        length: bytes of the body, if it is not chunked.
        chunked: whether the body comes in chunks.
        keep_alive: whether another request may follow.
        expects_continue: whether the client waits to be told before it sends the body.
    """

    __slots__ = (
        "chunked", "expects_continue", "headers", "keep_alive", "length", "method", "target", "version",
    )  # fmt: skip

    # The parser looks each of these up; a present attribute is found faster than a missing one.
    on_message_begin = on_url = on_status = on_headers_complete = on_body = on_message_complete = None
    on_chunk_header = on_chunk_complete = None

    def __init__(self, raw: bytes, *, fields: int) -> None:
        """Read a head.

        Args:
            raw: all of it, with the empty line at its end.
            fields: most headers it may have.

        Raises:
            MalformedRequestError: it is not HTTP/1.
            VersionNotSupportedError: it is another version of HTTP.
            HeadersTooLargeError: there are too many.
            NotImplementedByServiceError: an unknown method or coding.
        """
        line = _REQUEST_LINE.match(raw)
        if line is None:
            raise MalformedRequestError
        self.method, self.target, major, minor = line.groups()
        if major != b"1" or minor not in b"01":
            raise VersionNotSupportedError
        self.version = "1.1" if minor == b"1" else "1.0"
        self.headers: Headers = []
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(raw)
        except httptools.HttpParserUpgrade:
            pass  # upgrades are ignored: the request is answered as if it had not asked (RFC 9110, 7.8)
        except httptools.HttpParserInvalidMethodError:
            raise NotImplementedByServiceError from None
        except httptools.HttpParserError:
            if len(self.headers) > fields:
                raise HeadersTooLargeError from None
            raise MalformedRequestError from None
        if len(self.headers) > fields:
            raise HeadersTooLargeError
        self.keep_alive: bool = minor == b"1" and parser.should_keep_alive()
        self._frame()
        if self.target[0] != 47:  # not a path
            self._make_origin_form()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header from the parser."""
        self.headers.append((name.lower(), value))

    def _frame(self) -> None:
        """Read the headers that concern the connection and the body's end."""
        said = dict(self.headers)
        if len(said) < len(self.headers):
            names = [name for name, _ in self.headers]
            if any(names.count(name) > 1 for name in _ONCE):
                raise MalformedRequestError("A request has one Host, and one header that says where it ends.")
        if self.version == "1.1" and b"host" not in said:
            raise MalformedRequestError("An HTTP/1.1 request has a Host header.")
        # llhttp has refused what is no number, and both headers together.
        self.length = int(said.get(b"content-length", 0))
        self.expects_continue = b"expect" in said and _is(said[b"expect"], b"100-continue") and self.version == "1.1"
        self.chunked = b"transfer-encoding" in said
        if self.chunked:
            if self.version == "1.0":
                raise MalformedRequestError("HTTP/1.0 has no transfer codings.")
            if not _is(said[b"transfer-encoding"], b"chunked"):
                raise NotImplementedByServiceError("Only the transfer coding chunked is read here.")

    def _make_origin_form(self) -> None:
        """Turn ``http://host/path`` into ``/path``; only OPTIONS may ask for no path at all."""
        if absolute := _ABSOLUTE.match(self.target):
            path = self.target[absolute.end() :]
            self.target = path if path.startswith(b"/") else b"/" + path
        elif self.method == b"CONNECT":
            raise NotImplementedByServiceError
        elif self.target != b"*" or self.method != b"OPTIONS":
            raise MalformedRequestError


def _is(value: bytes, word: bytes) -> bool:
    # llhttp leaves the spaces behind a value where they are.
    return value.strip(b" \t").lower() == word
