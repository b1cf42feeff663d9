"""Decodes request bodies: plain or gzip."""

import zlib

from serving.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedEncodingError

_GZIP_WBITS = 31
# One is what clients send. Each further one costs a new decompressor.
_MOST_MEMBERS = 16


def decoded(body: bytes, encoding: bytes, *, limit_bytes: int) -> bytes:
    """Give the body behind a content encoding.

    Args:
        body: as received.
        encoding: the value of ``content-encoding``.
        limit_bytes: most bytes of output; no more are ever produced.

    Raises:
        UnsupportedEncodingError: neither gzip nor identity.
        PayloadTooLargeError: the output would be larger.
        InvalidRequestError: not gzip, or cut short; status 400.
    """
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return body
    if name not in (b"gzip", b"x-gzip"):
        raise UnsupportedEncodingError
    plain = b""
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(wbits=_GZIP_WBITS)
        try:
            plain += member.decompress(body, limit_bytes + 1 - len(plain))
        except zlib.error:
            break
        if len(plain) > limit_bytes:
            raise PayloadTooLargeError(limit_bytes=limit_bytes)
        if not member.eof:
            break
        body = member.unused_data
        if not body:
            return plain
    raise InvalidRequestError("The request body is not valid gzip.", status=400)
