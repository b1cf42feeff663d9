"""An answer before it is written to a connection."""

from typing import NamedTuple

Headers = list[tuple[bytes, bytes]]
"""Header names (lower case) and values as ASGI gives them."""

JSON = (b"content-type", b"application/json")


class Reply(NamedTuple):
    """A whole answer.

    Attributes:
        status: HTTP status code.
        headers: without ``content-length``, which follows from the content.
        content: the body.
        outcome: what the service counts it as, in its own words.
    """

    status: int
    headers: Headers
    content: bytes
    outcome: str = "other"
