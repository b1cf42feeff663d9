"""One connection to the HTTP protocol, without a socket: what is sent and written can be looked at step by step."""

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

from uvicorn.server import ServerState

from serving.http.connection import HttpConnection
from serving.http.limits import HttpLimits, Slots
from serving.http.reply import Headers, Reply

LONG_TIMES = {"receive_s": 60.0, "unused_s": 60.0, "keep_alive_s": 60.0, "linger_s": 60.0}


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = self.ended = self.paused = False

    def write(self, data: Any) -> None:
        assert not self.closed
        assert not self.ended
        self.written += data

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        assert not self.closed
        self.paused = True

    def resume_reading(self) -> None:
        assert not self.closed
        self.paused = False


class Answers:
    """Answers hot routes at once, or when told."""

    def __init__(self, *urls: bytes) -> None:
        self.direct_urls = set(urls)
        self.asked: list[bytes] = []
        self.dropped = 0
        self.may: asyncio.Event | None = None

    def answer(self, _url: bytes, _headers: Headers, body: bytes) -> Reply | Coroutine[Any, Any, Reply]:
        reply = Reply(200, [(b"x-said", b"yes")], b"{}")
        if self.may is None:
            self.asked.append(body)
            return reply
        return self._later(self.may, reply, body)

    async def _later(self, may: asyncio.Event, reply: Reply, body: bytes) -> Reply:
        self.asked.append(body)
        try:
            await may.wait()
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        return reply


class Rig:
    """A connection whose ASGI application notes the path, reads the body and answers ``long``.

    Args:
        urls: the hot routes.
        app: another application.
        answers: another handler of hot routes.
        limits: what the connection may cost.
    """

    def __init__(self, *urls: bytes, app: Any = None, answers: Any = None, **limits: Any) -> None:
        self.long_way: list[str] = []
        self.bodies: list[bytes] = []
        self.may_read: asyncio.Event | None = None

        async def long(scope: Any, receive: Any, send: Any) -> None:
            self.long_way.append(scope["path"])
            if self.may_read:
                await self.may_read.wait()
            body, more = b"", True
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return
                body += message["body"]
                more = message["more_body"]
            self.bodies.append(body)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await send({"type": "http.response.body", "body": b"long"})

        self.answers = answers or Answers(*urls)
        self.transport = Transport()
        self.state = ServerState()
        self.limits = HttpLimits(**{**LONG_TIMES, **limits})
        self.protocol = HttpConnection(
            config=SimpleNamespace(loaded=True, loaded_app=app or long, asgi_version="3.0", root_path=""),
            server_state=self.state,
            app_state={},
            _loop=asyncio.get_running_loop(),
            limits=self.limits,
            slots=Slots(most=self.limits.connections),
            direct=self.answers,
        )
        self.protocol.connection_made(self.transport)

    def send(self, *pieces: bytes) -> None:
        """Send pieces, one by one."""
        for piece in pieces:
            if piece and not self.transport.closed:
                self.protocol.data_received(piece)

    async def settle(self) -> None:
        """Let the loop run what is ready."""
        for _ in range(6):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """Lose the connection, and let what was under way end."""
        self.protocol.connection_lost(None)
        await self.settle()
