"""Reads a request's head: who is asked for what, and where the body ends.

llhttp checks the grammar. It sees one head and no byte more: where one request ends and the next begins is decided in
this package alone, by ``content-length`` and ``transfer-encoding``, and by nothing else that a head may say.
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
_OF_THE_CONNECTION = frozenset({b"content-length", b"expect", b"host", b"transfer-encoding"})


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
        "_fields", "_special", "chunked", "expects_continue", "headers", "keep_alive", "length", "method", "target",
        "version",
    )  # fmt: skip

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
        self._special: Headers = []
        self._fields = fields
        parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(raw)
        except httptools.HttpParserUpgrade:
            pass  # nobody here speaks anything else: the request is answered as if it had not asked (RFC 9110, 7.8)
        except httptools.HttpParserInvalidMethodError:
            raise NotImplementedByServiceError from None
        except httptools.HttpParserError:
            if len(self.headers) > fields:
                raise HeadersTooLargeError from None
            raise MalformedRequestError from None
        if len(self.headers) > fields:
            raise HeadersTooLargeError
        self.keep_alive: bool = minor == b"1" and parser.should_keep_alive()
        self.length = 0
        self.chunked = self.expects_continue = False
        self._frame()
        if self.target[0] != 47:  # not a path
            self._make_origin_form()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header from the parser."""
        name = name.lower()
        header = (name, value.rstrip(b" \t"))
        self.headers.append(header)
        if name in _OF_THE_CONNECTION:
            self._special.append(header)

    def _frame(self) -> None:
        hosts = 0
        for name, value in self._special:
            if name == b"content-length":
                self.length = _length(value)
            elif name == b"host":
                hosts += 1
            elif name == b"expect":
                self.expects_continue = self.version == "1.1" and value.lower() == b"100-continue"
            elif value.lower() != b"chunked" or self.chunked:
                raise NotImplementedByServiceError("Only the transfer coding chunked is read here.")
            elif self.version == "1.0":
                raise MalformedRequestError("HTTP/1.0 has no transfer codings.")
            else:
                self.chunked = True
        if hosts > 1 or (not hosts and self.version == "1.1"):
            raise MalformedRequestError("An HTTP/1.1 request has exactly one Host header.")

    def _make_origin_form(self) -> None:
        """Turn ``http://host/path`` into ``/path``; only OPTIONS may ask for no path at all."""
        if absolute := _ABSOLUTE.match(self.target):
            path = self.target[absolute.end() :]
            self.target = path if path.startswith(b"/") else b"/" + path
        elif self.method == b"CONNECT":
            raise NotImplementedByServiceError
        elif self.target != b"*" or self.method != b"OPTIONS":
            raise MalformedRequestError


def _length(value: bytes) -> int:
    # llhttp has refused what is not digits, and more than one of them; eighteen are an exabyte.
    if not value.isdigit() or len(value) > 18:
        raise MalformedRequestError("Content-Length is not a number of bytes.")
    return int(value)
