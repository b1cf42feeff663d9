"""Writes a connection's answers, and watches whether its client reads them."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from serving.http.reply import Headers, Reply

_LENGTH = b"content-length: %d\r\n\r\n"
_LAST_LENGTH = b"content-length: %d\r\nconnection: close\r\n\r\n"


class Outgoing:
    """Writes answers.

    Args:
        server_state: where uvicorn keeps the headers of every answer.

    Attributes:
        transport: what is written to.
        paused: whether the client has so much to read that no more should be written.
        ended: whether the last answer was written.
    """

    __slots__ = ("_default_headers", "_default_lines", "_may_write", "_state", "ended", "paused", "transport")

    def __init__(self, *, server_state: Any) -> None:
        self._state = server_state
        self._default_headers: Headers = []
        self._default_lines = b""
        self._may_write = asyncio.Event()
        self.paused = self.ended = False
        self.transport: Any  # asyncio.Transport, of which uvloop's is no subclass

    def pause(self) -> None:
        """Write no more for now."""
        self.paused = True
        self._may_write.clear()

    def resume(self) -> None:
        """Write again; also wakes those who will find that the client has gone."""
        self.paused = False
        self._may_write.set()

    async def drain(self) -> None:
        """Wait until the client has read enough."""
        await self._may_write.wait()

    def write(self, data: bytes) -> None:
        """Write a part of an answer, unless the connection is closed."""
        if not (self.ended or self.transport.is_closing()):
            self.transport.write(data)

    def reply(self, reply: Reply, *, keep_alive: bool) -> None:
        """Write a whole answer."""
        default = self._state.default_headers
        if default is not self._default_headers:
            # uvicorn makes them anew every second.
            self._default_headers = default
            self._default_lines = b"".join([b"%b: %b\r\n" % header for header in default])
        status, headers, content, _ = reply
        lines = (
            STATUS_LINE[status],
            b"\r\n".join([b": ".join(header) for header in headers]),
            b"\r\n",
            self._default_lines,
            (_LENGTH if keep_alive else _LAST_LENGTH) % len(content),
            content,
        )
        self.transport.write(b"".join(lines))

    def end(self, *, lingers: bool) -> bool:
        """Close after what was written; tell whether some of that is still unsent.

        Args:
            lingers: close this side only, or a client that still sends loses the answer.
        """
        self.ended = True
        transport = self.transport
        if not transport.is_closing():
            (transport.write_eof if lingers else transport.close)()
        return bool(transport.get_write_buffer_size() > 0)
