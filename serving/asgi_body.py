"""Reads a request's body from ASGI within a limit, and notices when the client hangs up."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from serving.asgi import Receive, Scope
from serving.errors import PayloadTooLargeError
from serving.foreign import whole_number
from serving.http.reply import Reply

# A client that is still sending when its connection closes loses the answer: bodies up to this many times the limit are
# read to the end and discarded.
_DISCARD_LIMITS = 16


class ClientGoneError(Exception):
    """The client hung up before its body was complete."""


async def read_body(scope: Scope, receive: Receive, *, limit_bytes: int) -> bytes:
    """Give the whole body.

    Raises:
        PayloadTooLargeError: it is over the limit; the rest of it may be unread.
        ClientGoneError: the client hung up.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and (whole_number(value) or 0) > _DISCARD_LIMITS * limit_bytes:
            raise PayloadTooLargeError(limit_bytes=limit_bytes)
    message = await receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body") and len(body) <= limit_bytes:
        return body
    parts, size = [body], len(body)
    while message["type"] == "http.request" and message.get("more_body") and size <= _DISCARD_LIMITS * limit_bytes:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        if size <= limit_bytes:
            parts.append(part)
    if size > limit_bytes:
        raise PayloadTooLargeError(limit_bytes=limit_bytes)
    if message["type"] != "http.request":
        raise ClientGoneError
    return b"".join(parts)


async def unless_gone(work: Coroutine[Any, Any, Reply], receive: Receive) -> Reply:
    """Wait for an answer; stop the work if the client hangs up first.

    Raises:
        ClientGoneError: it did.
    """
    answering = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not answering.done():
            raise ClientGoneError
        return answering.result()
    finally:
        answering.cancel()
        leaving.cancel()
