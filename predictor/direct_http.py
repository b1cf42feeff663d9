"""Answers whole requests to the hot routes straight from the parser, without ASGI in between.

A forward leaves cold caches behind, so whatever a request touches beside it is slow: an ASGI cycle's scope, tasks and
messages cost a lone text a tenth of a millisecond. A request is taken here when it came in one piece and nothing else
is under way on its connection; every other one goes uvicorn's way, to the same handler.
"""

import asyncio
from collections.abc import Container, Coroutine
from typing import Any, NamedTuple, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

Headers = list[tuple[bytes, bytes]]
"""Header names (lower case) and values as ASGI gives them."""


class Reply(NamedTuple):
    """A whole answer: HTTP status code, headers without ``content-length``, body."""

    status: int
    headers: Headers
    content: bytes


class Direct(Protocol):
    """What answers."""

    @property
    def direct_urls(self) -> Container[bytes]:
        """Give the request targets that ``answer`` takes, POST only; empty while answers need more than it does."""

    def answer(self, url: bytes, headers: Headers, body: bytes) -> Coroutine[Any, Any, Reply]:
        """Answer; raises nothing, and is cancelled when the client goes."""


class _Exchange:
    """A request under way, in the form of one of uvicorn's cycles."""

    __slots__ = ("coming", "disconnected", "keep_alive", "protocol", "response_complete", "response_started", "task")

    def __init__(self, protocol: "DirectHttp", coming: Coroutine[Any, Any, Reply], *, keep_alive: bool) -> None:
        self.protocol = protocol
        self.coming = coming
        self.keep_alive = keep_alive
        self.task: asyncio.Task[None] | None = None
        self.disconnected = self.response_started = self.response_complete = False

    @property
    def message_event(self) -> "_Exchange":
        """Give what uvicorn sets when the connection is lost."""
        return self

    def set(self) -> None:
        """Stop the work when nobody waits for it any more."""
        if self.disconnected and self.task is not None:
            self.task.cancel()

    async def run_asgi(self, _app: object) -> None:
        """Wait for the answer and send it."""
        if self.disconnected:
            self.coming.close()
            return
        self.task = asyncio.current_task()
        reply = await self.coming
        if self.protocol.flow.write_paused:
            await self.protocol.flow.drain()
        self.response_started = self.response_complete = True
        self.protocol.reply(reply, keep_alive=self.keep_alive)


class DirectHttp(HttpToolsProtocol):  # type: ignore[misc] # uvicorn is not followed
    """uvicorn's protocol with a short way for hot routes.

    Args:
        direct: what answers them.
        options: uvicorn's own.
    """

    def __init__(self, *, direct: Direct, **options: Any) -> None:
        super().__init__(**options)
        self._direct = direct
        self._postponed = False
        self._body = b""

    def data_received(self, data: bytes) -> None:
        """Parse what came; a request that is still incomplete then goes the long way."""
        super().data_received(data)
        if self._postponed and not self.transport.is_closing():
            self._go_the_long_way()

    def on_headers_complete(self) -> None:
        """Put a hot route's request off until its body is there."""
        if (
            self.url in self._direct.direct_urls
            and self.parser.get_method() == b"POST"
            and (self.cycle is None or self.cycle.response_complete)
            and not (self.expect_100_continue or self.flow.write_paused or self.parser.should_upgrade())
        ):
            self._postponed = True
            self._body = b""
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, nearly always the whole."""
        if self._postponed:
            self._body += body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Begin to answer a request that was put off."""
        if not self._postponed:
            super().on_message_complete()
            return
        self._postponed = False
        keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
        self.cycle = _Exchange(self, self._direct.answer(self.url, self.headers, self._body), keep_alive=keep_alive)
        self._start_asgi_task(self.cycle, self.app)

    def reply(self, reply: Reply, *, keep_alive: bool) -> None:
        """Write an answer in one piece and turn to the connection's next request."""
        lines = [b"%b: %b\r\n" % header for header in reply.headers]
        lines += [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        lines.append(b"content-length: %d\r\n" % len(reply.content))
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[reply.status], b"".join(lines), reply.content))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _go_the_long_way(self) -> None:
        self._postponed = False
        super().on_headers_complete()
        if self._body:
            super().on_body(self._body)
