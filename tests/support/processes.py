"""Real processes for tests: start, wait for HTTP, stop, and what the process said."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
TINY_MODEL = REPO / "model-artifacts" / "distilbert-tiny-sst2"


def environment(**variables: str) -> dict[str, str]:
    """Give a clean environment: no service settings of the caller, plus the given variables."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PREDICTOR_", "TRANSFORMER_", "OTEL_"))}
    return {**inherited, "PYTHONUNBUFFERED": "1", **variables}


class Server:
    """A child process that serves HTTP, its port and its log file."""

    def __init__(self, *, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.url = f"http://127.0.0.1:{port}"

    def output(self) -> str:
        """Give what the process wrote so far."""
        return self.log.read_text(errors="replace")

    def wait_until_ready(self, path: str, *, timeout_s: float = 60) -> None:
        """Wait for a 200 on ``path``; fail with the process's own words when it ends or takes too long."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} before it was ready:\n{self.output()}")
            with contextlib.suppress(OSError, urllib.error.URLError):
                with urllib.request.urlopen(self.url + path, timeout=2) as answer:
                    if answer.status == 200:
                        return
            time.sleep(0.05)
        raise AssertionError(f"not ready within {timeout_s} s:\n{self.output()}")

    def stop(self, sig: int = signal.SIGTERM, *, timeout_s: float = 40) -> int:
        """Send ``sig``, wait, kill what is left; give the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(sig)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        return self.process.returncode


@contextlib.contextmanager
def server(
    command: Sequence[str],
    *,
    port: int,
    log: Path,
    ready: str | None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 60,
) -> Iterator[Server]:
    """Run ``command`` (without the interpreter: a Python module call) until the block ends."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=REPO, env=environment(**(env or {})), stdout=out, stderr=subprocess.STDOUT
        )
    running = Server(process=process, port=port, log=log)
    try:
        if ready is not None:
            running.wait_until_ready(ready, timeout_s=timeout_s)
        yield running
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
