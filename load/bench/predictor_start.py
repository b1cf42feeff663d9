"""How fast does the predictor start, and how large is it? From exec to the first 200, then CPU and memory."""

import argparse
import time
from pathlib import Path

import measuring as m


def main() -> None:
    """Start it a few times with and without a compile cache; print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cache = m.ROOT / "build" / "compile-cache"
    kinds = {"no cache": {}, "compile cache": {"PREDICTOR_COMPILE_CACHE_DIR": str(cache)}}
    starts: dict[str, list[float]] = {kind: [] for kind in kinds}
    used: dict[str, list[float]] = {kind: [] for kind in kinds}
    resident: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(options.rounds + 1):
        for kind, env in kinds.items():
            start_s, cpu_s, size_mb = start_once(options.model, env)
            if number:  # the first round warms the page cache and fills the compile cache
                starts[kind].append(start_s)
                used[kind].append(cpu_s)
                resident[kind].append(size_mb)
    rows = [
        {
            "start": kind,
            "exec_to_ready_s": round(m.median(starts[kind]), 2),
            "best_s": round(min(starts[kind]), 2),
            "cpu_s": round(m.median(used[kind]), 2),
            "resident_mb": round(m.median(resident[kind])),
        }
        for kind in kinds
    ]
    m.table(list(rows[0]), [list(row.values()) for row in rows])
    m.keep("bench-predictor-start", rows)


def start_once(model: Path, env: dict[str, str]) -> tuple[float, float, float]:
    """Start and stop one predictor; give seconds to its first 200, CPU seconds, and its resident memory in MB."""
    port = m.free_port()
    command = m.python("-m", "predictor", "--model_name=sentiment", f"--http_port={port}", "--enable_grpc=false")
    began = time.perf_counter()
    ready = f"http://127.0.0.1:{port}/v2/health/ready"
    with m.process(command, env={"PREDICTOR_MODEL_DIR": str(model), **env}, ready=ready) as running:
        return time.perf_counter() - began, m.cpu_s(running.pid), m.resident_mb(running.pid)


if __name__ == "__main__":
    main()
