"""The whole stack as a child process on free ports, for tests, demo and preview."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 90
STOP_LIMIT_S = 60


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Where the two servers listen, on loopback."""

    transformer: int
    predictor: int

    @property
    def url(self) -> str:
        """Where clients go."""
        return f"http://127.0.0.1:{self.transformer}"


@contextlib.contextmanager
def running_stack(folder: Path, **settings: str) -> Iterator[Ports]:
    """Run Redis, predictor and transformer until the block ends.

    Args:
        folder: takes their output, in ``stack.log``.
        settings: environment variables; those of the caller for the two services are left out.

    Raises:
        RuntimeError: it ended, or did not answer in time; with its last output.
    """
    ports = Ports(transformer=free_port(), predictor=free_port())
    ours = ("PREDICTOR_", "TRANSFORMER_", "OTEL_")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | settings
    env |= {"PORT": str(ports.transformer), "PREDICTOR_PORT": str(ports.predictor)}
    log = folder / "stack.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "local/stack.py"], cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        for port in (ports.predictor, ports.transformer):
            _wait(process, f"http://127.0.0.1:{port}/v2/health/ready", log)
        yield ports
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_LIMIT_S)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while not _answers(url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the stack did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
