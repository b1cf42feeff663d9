"""The local stack as processes: Redis, predictors (throttled or not), a balancer, a transformer."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from load.capacity.quota import CpuQuota, cpu_seconds
from local.ports import free_port

REPO = Path(__file__).parents[2]
START_TIMEOUT_S = 90.0


def redis_binary() -> str | None:
    """Give the path of a redis-server beside this interpreter or on the PATH, None without one."""
    beside = Path(sys.executable).with_name("redis-server")
    return str(beside) if beside.exists() else shutil.which("redis-server")


class Stack:
    """A running stack: its URL, its predictors' URLs and its processes."""

    def __init__(self, *, url: str, predictor_urls: list[str], processes: "_Processes") -> None:
        self.url = url
        self.predictor_urls = predictor_urls
        self._processes = processes

    def throttle(self, *, cpu_quota: float, period_s: float) -> None:
        """Give every predictor from now on no more than ``cpu_quota`` of one core, in periods of ``period_s``."""
        for name in self._processes.by_name:
            if name.startswith("predictor-"):
                self._processes.throttle(name, cpus=cpu_quota, period_s=period_s)

    def cpu_seconds(self) -> dict[str, float]:
        """Give the CPU seconds used so far: transformer, redis, and the predictors together."""
        used = {"transformer": 0.0, "predictor": 0.0, "redis": 0.0}
        for name, process in self._processes.by_name.items():
            kind = name.partition("-")[0]
            if kind in used:
                used[kind] += cpu_seconds(process.pid)
        return used


class _Processes(contextlib.ExitStack):
    """Starts processes; on exit asks each to end, last started first, and removes quotas after them."""

    def __init__(self, *, logs: Path) -> None:
        super().__init__()
        self._logs = logs
        self.by_name: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], env: Mapping[str, str]) -> None:
        log = (self._logs / f"{name}.log").open("wb")
        self.callback(log.close)
        process = subprocess.Popen(command, cwd=REPO, env={**os.environ, **env}, stdout=log, stderr=subprocess.STDOUT)
        self.by_name[name] = process
        self.callback(self.stop, name)

    def throttle(self, name: str, *, cpus: float, period_s: float) -> None:
        """Put a running process under a CPU quota."""
        process = self.by_name[name]
        quota = CpuQuota(name=f"load-{os.getpid()}-{process.pid}", cpus=cpus, period_s=period_s)
        self.callback(quota.remove)
        # Callbacks run last first: the process must end before its cgroup can go.
        self.callback(self.stop, name)
        quota.add(process.pid)

    def stop(self, name: str) -> None:
        """Ask a process to end, force it after half a minute."""
        process = self.by_name[name]
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_for(self, name: str, url: str) -> None:
        """Wait for a 200; fail with the process's own output if it dies or takes too long."""
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s:
            if self.by_name[name].poll() is not None:
                break
            with (
                contextlib.suppress(OSError, urllib.error.URLError),
                # Only this machine's own processes are asked.
                urllib.request.urlopen(url, timeout=2) as answer,
            ):
                if answer.status == 200:
                    return
            time.sleep(0.05)
        words = (self._logs / f"{name}.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{name} did not become ready at {url}:\n{words}")


@contextlib.contextmanager
def running_stack(
    *,
    model_dir: Path | None = None,
    predictors: int = 1,
    threads: int | None = None,
    with_redis: bool = True,
) -> Iterator[Stack]:
    """Run the stack on free loopback ports until the block ends.

    ``threads`` is a predictor's inference threads; more than one predictor stand behind a balancer.

    Raises:
        RuntimeError: a process does not become ready.
    """
    with tempfile.TemporaryDirectory(prefix="load-stack-") as folder, _Processes(logs=Path(folder)) as processes:
        redis_url = _start_redis(processes, Path(folder)) if with_redis else ""
        env = {"PREDICTOR_MODEL_DIR": str(model_dir)} if model_dir else {}
        if threads:
            env["PREDICTOR_THREADS"] = str(threads)
        ports = [free_port() for _ in range(predictors)]
        for number, port in enumerate(ports):
            name = f"predictor-{number}"
            command = [sys.executable, "-m", "predictor", "--model_name=sentiment", f"--http_port={port}"]
            processes.start(name, [*command, "--enable_grpc=false"], env)
            processes.wait_for(name, f"http://127.0.0.1:{port}/v2/health/ready")
        upstream = f"127.0.0.1:{ports[0]}"
        if predictors > 1:
            upstream = f"127.0.0.1:{_start_balancer(processes, ports)}"
        port = free_port()
        transformer = [sys.executable, "-m", "transformer", "--model_name=sentiment", f"--predictor_host={upstream}"]
        processes.start(
            "transformer",
            [*transformer, f"--http_port={port}", "--workers=1", "--enable_grpc=false"],
            {"TRANSFORMER_REDIS_URL": redis_url} if redis_url else {},
        )
        processes.wait_for("transformer", f"http://127.0.0.1:{port}/health")
        yield Stack(
            url=f"http://127.0.0.1:{port}",
            predictor_urls=[f"http://127.0.0.1:{each}" for each in ports],
            processes=processes,
        )


def _start_redis(processes: _Processes, folder: Path) -> str:
    binary = redis_binary()
    if binary is None:
        return ""
    path = folder / "redis.sock"
    command = [binary, "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no"]
    processes.start("redis", command, {})
    deadline_s = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return f"unix://{path}"


def _start_balancer(processes: _Processes, ports: list[int]) -> int:
    port = free_port()
    upstreams = [f"127.0.0.1:{each}" for each in ports]
    processes.start("balancer", [sys.executable, "-m", "load.capacity.balancer", str(port), *upstreams], {})
    processes.wait_for("balancer", f"http://127.0.0.1:{port}/v2/health/ready")
    return port
