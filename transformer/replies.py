"""An answer before it is written to a connection."""

from typing import NamedTuple

from transformer.errors import TransformerError

Headers = list[tuple[bytes, bytes]]
"""Header names (lower case) and values as ASGI gives them."""

JSON = (b"content-type", b"application/json")


class Reply(NamedTuple):
    """A whole answer.

    Attributes:
        status: HTTP status code.
        headers: all that the service has to say, ``content-length`` among them.
        content: the body.
        outcome: the cache outcome it counts as: ``hit``, ``miss``, ``partial``, ``error`` or ``other``.
    """

    status: int
    headers: Headers
    content: bytes
    outcome: str


def json_reply(status: int, content: bytes, request_id: bytes, *more: tuple[bytes, bytes], outcome: str) -> Reply:
    """Make an answer of JSON bytes."""
    length = (b"content-length", b"%d" % len(content))
    return Reply(status, [JSON, length, (b"x-request-id", request_id), *more], content, outcome)


def error_reply(error: TransformerError, request_id: bytes, *more: tuple[bytes, bytes]) -> Reply:
    """Make the answer that tells of an error."""
    headers = list(more)
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    return json_reply(error.status, error.body(), request_id, *headers, outcome="error")
