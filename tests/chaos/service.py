"""A Service as kube-proxy makes it: a connection goes to one endpoint of a list, and to no other if that is gone."""

import asyncio
import contextlib
import itertools

from chaos.balancer import pump


class Service:
    """Listens on one port and spreads connections over endpoints; whoever knows better changes the list."""

    def __init__(self) -> None:
        self._endpoints: list[int] = []
        self._turn = itertools.count()
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def host(self) -> str:
        """Give ``host:port``."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._server.close()

    def add(self, port: int) -> None:
        """Send connections there too."""
        self._endpoints.append(port)

    def remove(self, port: int) -> None:
        """Send no further connections there; those that are open stay."""
        self._endpoints.remove(port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            port = self._endpoints[next(self._turn) % len(self._endpoints)]
            with contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        finally:
            writer.close()
            self._connections.discard(task)
