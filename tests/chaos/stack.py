"""The stack under fault: a real Redis, a transformer process, and a predictor that can be lost."""
# another process gives no event

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
from support.processes import TINY_MODEL, Server, server
from support.redis_server import RedisServer
from support.transformer_process import transformer

from local.ports import free_port

_DOUBLE = str(Path(__file__).with_name("double_process.py"))


class PredictorProcess:
    """A predictor in a process, on a port that stays its own over restarts.

    Args:
        folder: for its log.
        version: of a double; None for the real predictor.
        env: the real predictor's settings.
    """

    def __init__(self, *, folder: Path, version: str | None, **env: str) -> None:
        self.port = free_port()
        self.version = version
        self._folder = folder
        self._env = {"PREDICTOR_MODEL_DIR": str(TINY_MODEL), "PREDICTOR_THREADS": "1", **env}
        self._stack = contextlib.ExitStack()
        self.process: Server | None = None

    @property
    def host(self) -> str:
        """Give ``host:port``."""
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it answers."""
        await asyncio.to_thread(self._start)

    def _start(self) -> None:
        real = ["-m", "predictor", "--model_name=sentiment", f"--http_port={self.port}", "--enable_grpc=false"]
        command = real if self.version is None else [_DOUBLE, str(self.port), self.version]
        log = self._folder / f"predictor-{self.port}.log"
        self.process = self._stack.enter_context(
            server(command, port=self.port, log=log, ready="/v2/models/sentiment", env=self._env)
        )

    def send(self, number: int) -> None:
        """Send the process a signal."""
        assert self.process is not None
        self.process.process.send_signal(number)

    async def end(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; give the exit status."""
        self.send(number)
        assert self.process is not None
        return await asyncio.to_thread(self.process.process.wait, 60)

    async def close(self) -> None:
        """End what is left."""
        await asyncio.to_thread(self._stack.close)


class Stack:
    """Everything, in reach."""

    def __init__(self, *, redis: RedisServer, predictor: PredictorProcess, process: Server) -> None:
        self.redis = redis
        self.predictor = predictor
        self.process = process

    @property
    def url(self) -> str:
        """Give the transformer's address."""
        return self.process.url


@contextlib.asynccontextmanager
async def predictor_process(folder: Path, *, version: str | None = "v1", **env: str) -> AsyncIterator[PredictorProcess]:
    """Run a predictor until the block ends."""
    one = PredictorProcess(folder=folder, version=version, **env)
    try:
        await one.start()
        yield one
    finally:
        await one.close()


@contextlib.asynccontextmanager
async def stack(
    folder: Path,
    redis: RedisServer,
    *,
    version: str | None = "v1",
    predictor_env: Mapping[str, str] | None = None,
    **env: str,
) -> AsyncIterator[Stack]:
    """Run predictor and transformer; Redis is the only cache unless ``env`` says otherwise, so that its faults show."""
    async with predictor_process(folder, version=version, **(predictor_env or {})) as predictor:
        settings = {"TRANSFORMER_REDIS_URL": redis.url, "TRANSFORMER_L1_ENTRIES": "0", **env}
        async with transformer(folder, predictor_host=predictor.host, **settings) as process:
            await knows_model(process.url)
            yield Stack(redis=redis, predictor=predictor, process=process)


async def knows_model(url: str, *, within_s: float = 20) -> None:
    """Wait until a transformer knows which model is served."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(within_s):
        while True:
            async with session.get(url + "/health") as answer:
                if (await answer.json(content_type=None)).get("model_version"):
                    return
            await asyncio.sleep(0.05)


def resources(process: "subprocess.Popen[bytes]") -> dict[str, int]:
    """Give a process's resident bytes, open descriptors and threads."""
    base = Path("/proc") / str(process.pid)
    status = dict(line.split(":", 1) for line in (base / "status").read_text().splitlines() if ":" in line)
    return {
        "resident_bytes": int(status["VmRSS"].split()[0]) * 1024,
        "descriptors": len(list((base / "fd").iterdir())),
        "threads": int(status["Threads"]),
    }
