"""A relay between transformer and predictor that notes how long each call took and what the predictor said of it.

Only calls that carry a request id are noted, by that id. Of HTTP it reads only what it needs to find a message's end.
"""

import asyncio
import re
import time
from dataclasses import dataclass

from load.bench.predictor_load import read_head

_ENTRY = re.compile(r"([a-z]+);dur=([\d.]+)")


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call through the relay: ms until its answer came, and the predictor's own account of them."""

    took_ms: float
    said_ms: dict[str, float]


def durations(server_timing: str) -> dict[str, float]:
    """Read the ms of a server-timing header."""
    return {name: float(value) for name, value in _ENTRY.findall(server_timing)}


class Relay:
    """Listens on its own port and forwards everything to another.

    Args:
        upstream: the predictor's port on the loopback interface.
    """

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._served: set[asyncio.Task[None]] = set()
        self.calls: dict[str, Call] = {}

    async def start(self) -> int:
        """Give the port it listens on."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Stop listening and close all connections."""
        if self._server is not None:
            self._server.close()
        for task in self._served:
            task.cancel()
        await asyncio.gather(*self._served, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._served.add(task)
        task.add_done_callback(self._served.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                asked = _headers(head)
                body = await reader.readexactly(int(asked.get("content-length", "0")))
                began = time.perf_counter()
                back.write(head + body)
                head = await there.readuntil(b"\r\n\r\n")
                _, answered = read_head(head)
                body = await there.readexactly(int(answered.get("content-length", "0")))
                if name := asked.get("x-request-id"):
                    took_ms = (time.perf_counter() - began) * 1e3
                    self.calls[name] = Call(took_ms=took_ms, said_ms=durations(answered.get("server-timing", "")))
                writer.write(head + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            back.close()
            writer.close()


def _headers(head: bytes) -> dict[str, str]:
    parted = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in parted}
