"""A service that gives every request its own id back, by both ways: what an answer belongs to can be seen."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from support.connection_cases import Target

from serving.http.reply import Headers, Reply

TARGET = Target(url=b"/predict", hit=b'{"text": ["known"]}', miss=b'{"text": ["new"]}')


class Echo:
    """Answers 200 to ``TARGET``'s bodies, 422 to others and 404 elsewhere.

    Args:
        direct: whether the hot route is answered without ASGI.
        target: the route and its bodies.
    """

    def __init__(self, *, direct: bool, target: Target = TARGET) -> None:
        self._target = target
        self.direct_urls = {target.url} if direct else set()
        self.asked: list[tuple[bytes, bytes]] = []

    def answer(self, url: bytes, headers: Headers, body: bytes) -> Reply | Coroutine[Any, Any, Reply]:
        """Answer a hit at once, anything else after a while."""
        reply = self._reply(url, headers, body)
        return reply if body == self._target.hit else self._later(reply)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve as ASGI."""
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message["body"]
            more = message["more_body"]
        reply = self._reply(scope["raw_path"], scope["headers"], body)
        await asyncio.sleep(0)
        headers = [*reply.headers, (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _reply(self, url: bytes, headers: Headers, body: bytes) -> Reply:
        ids = [value for name, value in headers if name == b"x-request-id"]
        its = ids[0] if len(ids) == 1 and len(ids[0]) < 128 and ids[0].isascii() else b"made"
        self.asked.append((its, body))
        good = body in (self._target.hit, self._target.miss)
        return Reply((200 if good else 422) if url == self._target.url else 404, [(b"x-request-id", its)], b"")

    async def _later(self, reply: Reply) -> Reply:
        await asyncio.sleep(0)
        return reply
