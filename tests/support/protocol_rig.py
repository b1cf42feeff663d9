"""One connection to an HTTP protocol, without a socket: what is sent and written can be looked at step by step."""

import asyncio
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Nothing to pause."""

    def resume_reading(self) -> None:
        """Nothing to resume."""


class Rig:
    """A connection to a protocol whose ASGI application notes the path, reads the body and answers ``long``.

    Args:
        protocol: the class.
        options: its own options beside uvicorn's.
    """

    def __init__(self, protocol: type[HttpToolsProtocol], **options: Any) -> None:
        self.long_way: list[str] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            self.long_way.append(scope["path"])
            while (await receive()).get("more_body"):
                pass
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
            await send({"type": "http.response.body", "body": b"long"})

        self.transport = Transport()
        self.state = ServerState()
        self.protocol = protocol(
            config=Config(app=app, log_config=None),
            server_state=self.state,
            app_state={},
            _loop=asyncio.get_running_loop(),
            **options,
        )
        self.protocol.connection_made(self.transport)

    async def settle(self) -> None:
        """Let the loop run what is ready."""
        for _ in range(5):
            await asyncio.sleep(0)
