"""Answers whole requests to the hot routes straight from the parser, without ASGI in between.

An ASGI cycle builds a scope, an event, a task and two messages for every request: more than half of the work for an
answer that lies in memory. A request is taken here when it came in one piece and nothing else is under way on its
connection; every other one goes uvicorn's way, to the same handler.
"""

from collections.abc import Container, Coroutine
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from transformer.protocol.replies import Headers, Reply


class Direct(Protocol):
    """What answers."""

    @property
    def direct_urls(self) -> Container[bytes]:
        """Give the request targets that ``answer`` takes, POST only; empty while answers need more than it does."""

    def answer(self, url: bytes, headers: Headers, body: bytes) -> Reply | Coroutine[Any, Any, Reply]:
        """Answer at once, or give what will; raises nothing."""


class _NobodyWaits:
    """Stands for the event on which an ASGI cycle hears of its connection."""

    def set(self) -> None:
        """Tell nobody."""


class _Exchange:
    """A request whose answer takes a while, in the form of one of uvicorn's cycles."""

    message_event = _NobodyWaits()

    __slots__ = ("coming", "disconnected", "keep_alive", "protocol", "response_complete", "response_started")

    def __init__(self, protocol: "DirectHttp", coming: Coroutine[Any, Any, Reply], *, keep_alive: bool) -> None:
        self.protocol = protocol
        self.coming = coming
        self.keep_alive = keep_alive
        self.disconnected = self.response_started = self.response_complete = False

    async def run_asgi(self, _app: object) -> None:
        """Wait for the answer and send it."""
        reply = await self.coming
        flow = self.protocol.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        self.response_started = self.response_complete = True
        if not self.disconnected:
            self.protocol.reply(reply, keep_alive=self.keep_alive)


class DirectHttp(HttpToolsProtocol):  # type: ignore[misc]  # uvicorn is followed by mypy nowhere here
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
        """Answer a request that was put off."""
        if not self._postponed:
            super().on_message_complete()
            return
        self._postponed = False
        keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() != "1.0"
        begun = self._direct.answer(self.url, self.headers, self._body)
        if isinstance(begun, Reply):
            self.reply(begun, keep_alive=keep_alive)
        else:
            self.cycle = _Exchange(self, begun, keep_alive=keep_alive)
            self._start_asgi_task(self.cycle, self.app)

    def reply(self, reply: Reply, *, keep_alive: bool) -> None:
        """Write an answer in one piece and turn to the connection's next request."""
        lines = [b"%b: %b\r\n" % header for header in reply.headers]
        lines += [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
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
