"""The contestants: the programs of each, its URL, and how it is paused while others run."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from load.bench.peers.environments import HERE, ROOT, python_of
from local.ports import free_port

START_LIMIT_S = 600
OURS = "this service"
OURS_INT8 = "this service, int8"
APPS = HERE / "apps"
# No peer refuses anything, so neither do ours: a machine that others use too can be slow enough for it.
PATIENT = {"PREDICTOR_MAX_WAIT_S": "60", "PREDICTOR_DEADLINE_S": "60", "TRANSFORMER_PREDICTOR_TIMEOUT_S": "60"}


class PeerError(Exception):
    """A contestant did not start, or did not answer as it should."""


@dataclass(kw_only=True)
class Contestant:
    """One running contestant.

    Attributes:
        name: in the report.
        url: where texts are posted.
        key: the body's one key.
        groups: its process groups.
    """

    name: str
    url: str
    key: str
    groups: list[int] = field(default_factory=list)

    def ask(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Give the scores by label of each text.

        Raises:
            PeerError: the answer has another number of texts.
        """
        body = json.dumps({self.key: list(texts)}).encode()
        request = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            predictions: list[list[dict[str, Any]]] = json.loads(answer.read())["predictions"]
        if len(predictions) != len(texts):
            raise PeerError(f"{self.name} answered {len(predictions)} of {len(texts)} texts")
        return [{each["label"]: each["score"] for each in labels} for labels in predictions]

    def hold(self) -> None:
        """Pause its processes: they take no CPU from the one that is measured."""
        self._signal(signal.SIGSTOP)

    def let_go(self) -> None:
        """Let its processes run again."""
        self._signal(signal.SIGCONT)

    def resident_mb(self) -> float:
        """Give the memory of all its processes in MB, shared pages counted once."""
        return sum(_proportional_mb(pid) for pid in _processes() if _group(pid) in self.groups)

    def cpu_s(self) -> float:
        """Give the CPU seconds that all its processes have used."""
        return sum(_cpu_s(pid) for pid in _processes() if _group(pid) in self.groups)

    def _signal(self, number: int) -> None:
        for group in self.groups:
            os.killpg(group, number)


@contextlib.contextmanager
def started(name: str, *, model: Path, int8: Path, folder: Path) -> Iterator[Contestant]:
    """Run a contestant until the block ends.

    Raises:
        PeerError: it did not become ready.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        ports = free_port(), free_port()
        redis_url = f"unix://{folder / 'redis.sock'}"
        contestant = Contestant(name=name, url=f"http://127.0.0.1:{ports[0]}/predict", key="text")

        def run(command: Sequence[str], *, ready: str | None = None, **env: str) -> None:
            group = stack.enter_context(_process(command, folder / "log", env))
            contestant.groups.append(group.pid)
            if ready:
                _wait_for(name, ready, group, folder / "log")

        def health(path: str, port: int = ports[0]) -> str:
            return f"http://127.0.0.1:{port}{path}"

        env = {"PEER_MODEL": str(model), "PEER_REDIS_URL": redis_url}
        if name in (OURS, OURS_INT8):
            run(_redis(folder))
            chosen = {"PREDICTOR_MODEL_DIR": str(int8 if name == OURS_INT8 else model), **PATIENT}
            common = ["--model_name=sentiment", "--enable_grpc=false"]
            predictor = [sys.executable, "-m", "predictor", *common, f"--http_port={ports[1]}"]
            run(predictor, ready=health("/v2/health/ready", ports[1]), **chosen)
            transformer = [sys.executable, "-m", "transformer", *common, "--workers=1", f"--http_port={ports[0]}"]
            transformer += [f"--predictor_host=127.0.0.1:{ports[1]}"]
            run(transformer, ready=health("/v2/health/ready"), TRANSFORMER_REDIS_URL=redis_url, **PATIENT)
        elif name == "FastAPI + pipeline + Redis":
            run(_redis(folder))
            line = [str(python_of("fastapi")), "-m", "uvicorn", f"--app-dir={APPS}", f"--port={ports[0]}"]
            run([*line, "--log-level=warning", "fastapi_pipeline:app"], ready=health("/health"), **env)
        elif name == "KServe SDK + pipeline":
            contestant.url, contestant.key = health("/v1/models/sentiment:predict"), "instances"
            line = [str(python_of("kserve")), str(APPS / "kserve_predictor.py"), "--model_name=sentiment"]
            run([*line, f"--http_port={ports[0]}"], ready=health("/v2/health/ready"), **env)
        elif name == "LitServe + pipeline":
            line = [str(python_of("litserve")), str(APPS / "litserve_pipeline.py"), str(ports[0])]
            run(line, ready=health("/health"), **env)
        else:
            raise PeerError(f"there is no contestant {name}")
        yield contestant


NAMES = (OURS, OURS_INT8, "FastAPI + pipeline + Redis", "KServe SDK + pipeline", "LitServe + pipeline")


@contextlib.contextmanager
def _process(command: Sequence[str], log: Path, env: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as said:
        running = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **env}, stdout=said, stderr=said, start_new_session=True
        )
    try:
        yield running
    finally:
        # The whole group, and by force: some peers leave their workers behind when they are asked to end.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def _redis(folder: Path) -> list[str]:
    beside = Path(sys.executable).with_name("redis-server")
    binary = str(beside) if beside.exists() else shutil.which("redis-server")
    if binary is None:
        raise PeerError("redis-server is missing")
    return [binary, "--port", "0", "--unixsocket", str(folder / "redis.sock"), "--save", "", "--appendonly", "no"]


def _wait_for(name: str, url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline_s and running.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.05)
    raise PeerError(f"{name} did not become ready:\n{log.read_text(errors='replace')[-2000:]}")


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


def _cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _proportional_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
