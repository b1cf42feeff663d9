"""An answer before it is written to a connection."""

import time
from typing import NamedTuple

from transformer.errors import TransformerError
from transformer.pipeline.pipeline import Classified

Headers = list[tuple[bytes, bytes]]
"""Header names (lower case) and values as ASGI gives them."""

_JSON = (b"content-type", b"application/json")
_OUTCOMES = {outcome: outcome.encode() for outcome in ("hit", "miss", "partial")}


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
    return Reply(status, [_JSON, length, (b"x-request-id", request_id), *more], content, outcome)


def error_reply(error: TransformerError, request_id: bytes, *more: tuple[bytes, bytes]) -> Reply:
    """Make the answer that tells of an error."""
    headers = list(more)
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    return json_reply(error.status, error.body(), request_id, *headers, outcome="error")


def answer_reply(classified: Classified, request_id: bytes, *, started: float) -> Reply:
    """Make the answer of classified texts; ``started`` is when the request came, on the performance counter."""
    content = b'{"predictions":[' + b",".join([answer.json for answer in classified.answers]) + b"]}"
    outcome = classified.outcome
    headers = [
        _JSON,
        (b"content-length", b"%d" % len(content)),
        (b"x-cache", _OUTCOMES[outcome]),
        (b"x-model-version", classified.model.version_header),
        (b"x-request-id", request_id),
        (b"server-timing", _timing(classified, started)),
    ]
    if truncated := classified.truncated:
        headers.append((b"x-truncated", b"%d" % truncated))
    return Reply(200, headers, content, outcome)


def _timing(classified: Classified, started: float) -> bytes:
    total_ms = (time.perf_counter() - started) * 1000
    return b"lookup;dur=%.3f, predict;dur=%.3f, total;dur=%.3f" % (
        classified.lookup_s * 1000,
        classified.predict_s * 1000,
        total_ms,
    )
