"""A TCP balancer as a Service is: new connections go to backends that say they are ready, old ones stay."""
# ruff: noqa: ASYNC110  # another process gives no event

import asyncio
import contextlib

import aiohttp


class Balancer:
    """Listens on one port and spreads connections over ready backends, asked ten times a second.

    Args:
        ready_path: what a ready backend answers with 200.
    """

    def __init__(self, *, ready_path: str) -> None:
        self._ready_path = ready_path
        self._backends: dict[int, bool] = {}
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._prober: asyncio.Task[None] | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self.port = 0

    @property
    def host(self) -> str:
        """Give ``host:port``."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        self._prober = asyncio.create_task(self._probe())

    async def stop(self) -> None:
        """Close everything."""
        tasks = [*self._pumps, *([self._prober] if self._prober else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            self._server.close()

    async def add(self, port: int) -> None:
        """Take a backend in and wait until it is ready."""
        self._backends[port] = False
        async with asyncio.timeout(60):
            while not self._backends[port]:
                await asyncio.sleep(0.05)

    def remove(self, port: int) -> None:
        """Forget a backend; connections to it go on."""
        del self._backends[port]

    def ready(self, port: int) -> bool:
        """Say what the last probe found."""
        return self._backends.get(port, False)

    async def _probe(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1)) as session:
            while True:
                for port in list(self._backends):
                    ready = False
                    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                        async with session.get(f"http://127.0.0.1:{port}{self._ready_path}") as answer:
                            ready = answer.status == 200
                    if port in self._backends:
                        self._backends[port] = ready
                await asyncio.sleep(0.1)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        try:
            ready = [port for port, is_ready in self._backends.items() if is_ready]
            self._turn += 1
            for n in range(len(ready)):
                with contextlib.suppress(OSError):
                    far = await asyncio.open_connection("127.0.0.1", ready[(self._turn + n) % len(ready)])
                    await asyncio.gather(pump(reader, far[1]), pump(far[0], writer))
                    return
        finally:
            writer.close()
            self._pumps.discard(task)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until there is no more."""
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
