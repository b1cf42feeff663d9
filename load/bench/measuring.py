"""Shared by the transformer's benchmarks: processes on cores and their CPU time, wrk, rounds, medians, tables."""

import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]  # for the scripts beside this one, whose own folder alone is on it
from local.ports import free_port  # noqa: E402, F401  # for their use as well

RESULTS = ROOT / "results"


class Load(NamedTuple):
    """What wrk saw: requests per second, latency percentiles in ms, failed requests, and all of them."""

    rps: float
    p50_ms: float
    p99_ms: float
    failed: int
    requests: int


@contextlib.contextmanager
def process(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    ready: str | None = None,
    cpus: set[int] | None = None,
    folder: Path = ROOT,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in ``folder`` until the block ends; wait for a 200 on ``ready``; keep it to ``cpus``."""
    running = subprocess.Popen(
        command, cwd=folder, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if ready:
            wait_for(ready, running)
        if cpus:
            os.sched_setaffinity(running.pid, cpus)
        yield running
    finally:
        running.terminate()
        running.wait(60)


def wait_for(url: str, running: subprocess.Popen[bytes], *, limit_s: float = 60) -> None:
    """Wait until a URL answers 200."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if running.poll() is not None:
            sys.exit(f"{running.args!r} ended with {running.returncode} before it served")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
            if answer.status == 200:
                return
        time.sleep(0.02)
    sys.exit(f"{url} did not answer within {limit_s} s")


def python(*arguments: str) -> list[str]:
    """Give a command line of this interpreter."""
    return [sys.executable, *arguments]


def wrk(url: str, script: Path, *, seconds: int, connections: int, cpus: str | None = None) -> Load:
    """Load a URL in a closed loop of ``connections``, for whole seconds: wrk knows no others."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("wrk is missing: install it (Debian, Ubuntu: apt-get install wrk; macOS: brew install wrk)")
    pin = ["taskset", "-c", cpus] if cpus else []
    command = [*pin, found, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script), url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    return Load(
        rps=float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1]),  # type: ignore[index]
        p50_ms=_ms(re.search(r"50%\s+([\d.]+)(us|ms|s)", said)),
        p99_ms=_ms(re.search(r"99%\s+([\d.]+)(us|ms|s)", said)),
        failed=int(bad[1]) if bad else 0,
        requests=int(re.search(r"(\d+) requests in", said)[1]),  # type: ignore[index]
    )


def _ms(found: re.Match[str] | None) -> float:
    if found is None:
        return float("nan")
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def resident_mb(pid: int) -> float:
    """Give the resident memory of a process in MB."""
    said = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", said)[1]) / 1024  # type: ignore[index]


def cpu_s(pid: int) -> float:
    """Give the CPU time of a process and all its threads so far, to the nanosecond."""
    # As clock_getcpuclockid(3) makes the clock of another process; Linux.
    return time.clock_gettime(~pid << 3 | 2)


def median(values: Sequence[float]) -> float:
    """Give the median."""
    return statistics.median(values)


def machine() -> dict[str, str | int]:
    """Describe where this ran."""
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "load_average": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def markdown(rows: Sequence[Mapping[str, object]]) -> str:
    """Write a Markdown table of rows that have the same columns."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print(markdown([dict(zip(header, row, strict=True)) for row in rows]))


def report(path: Path, *, title: str, command: str, parts: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
    """Write a page to be kept: what was run where, and a table under each sentence."""
    on = machine()
    where = f"{on['cores']} shared cores ({on['cpu']}), load average {on['load_average']} at the end"
    lines = [f"# {title}\n", f"`{command}`, on {where}, Python {on['python']}.\n"]
    for said, rows in parts.items():
        lines += [f"{said}\n", markdown(rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines))
    print(f"written: {path}")


def keep(name: str, content: object) -> None:
    """Write a result as JSON."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "result": content}, indent=2) + "\n")
    print(f"written: {path.relative_to(ROOT)}")
