"""The types of an ASGI application, and a whole answer as its messages."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serving.http.reply import Reply

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def send_reply(send: Send, reply: Reply, *, head_only: bool = False) -> None:
    """Send an answer; ``head_only`` leaves the body out, as HEAD asks."""
    headers = list(reply.headers)
    if reply.status != 304:  # its length would be the page's
        headers.append((b"content-length", b"%d" % len(reply.content)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head_only else reply.content})
