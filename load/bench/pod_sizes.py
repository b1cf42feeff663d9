"""One predictor of one CPU, one of two, two of one: texts a second, latency and memory.

Every server is pinned to its CPUs. The clients, which cost next to nothing, run on the rest. Contestants take turns
while the others are paused; ratios are medians of the rounds' own.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import measuring as m
import predictor_load as load
import uvloop
from random_checkpoint import SAMPLE, sample_texts

CASES = ((1, 1), (10, 1), (4, 16))


@dataclass(frozen=True)
class Contestant:
    """Predictors that share the clients, on these CPUs."""

    name: str
    processes: tuple[subprocess.Popen[bytes], ...]
    targets: tuple[load.Target, ...]

    def send(self, number: int) -> None:
        """Send every process a signal."""
        for process in self.processes:
            process.send_signal(number)


def start(
    stack: contextlib.ExitStack, model: Path, name: str, cpus: Sequence[set[int]], wait_s: str = "30"
) -> Contestant:
    """Start one predictor for each set of CPUs."""
    processes, targets = [], []
    for own in cpus:
        port = m.free_port()
        command = m.python("-m", "predictor", "--model_name=sentiment", f"--http_port={port}", "--enable_grpc=false")
        env = {"PREDICTOR_MODEL_DIR": str(model), "PREDICTOR_THREADS": str(len(own)), "PREDICTOR_MAX_WAIT_S": wait_s}
        # The threads that a pool makes later inherit the affinity, so it is set before the program starts.
        pinned = ["taskset", "-c", ",".join(map(str, sorted(own))), *command]
        processes.append(
            stack.enter_context(m.process(pinned, env=env, ready=f"http://127.0.0.1:{port}/v2/health/ready"))
        )
        targets.append(load.Target(f"http://127.0.0.1:{port}/v1/models/sentiment:predict", "instances"))
    return Contestant(name, tuple(processes), tuple(targets))


async def measure(
    contestant: Contestant, texts: load.UniqueTexts, *, clients: int, size: int, seconds: float
) -> tuple[float, load.Seen]:
    """Load a contestant, the clients spread over its predictors; give texts/s and what was seen."""
    shares = [clients // len(contestant.targets)] * len(contestant.targets)
    shares[0] += clients - sum(shares)
    runs = await asyncio.gather(
        *(
            load.closed_loop(target, texts=texts, clients=share, size=size, seconds=seconds)
            for target, share in zip(contestant.targets, shares, strict=True)
            if share
        )
    )
    together = load.Seen()
    for _, seen in runs:
        together.answered_ms += seen.answered_ms
        together.failed += seen.failed + seen.late + len(seen.refused_ms)
    return sum(rate for rate, _ in runs), together


async def rounds(
    contestants: Sequence[Contestant], options: argparse.Namespace
) -> dict[tuple[str, int, int], list[tuple[float, float, float]]]:
    """Give texts/s, p50 and p99 of every round, by contestant and case."""
    texts = load.UniqueTexts(sample_texts(options.texts))
    found: dict[tuple[str, int, int], list[tuple[float, float, float]]] = {}
    for contestant in contestants:
        contestant.send(signal.SIGSTOP)
    for number in range(options.rounds + 1):
        for clients, size in CASES:
            for contestant in contestants:
                contestant.send(signal.SIGCONT)
                seconds = options.seconds if number else 2
                rate, seen = await measure(contestant, texts, clients=clients, size=size, seconds=seconds)
                contestant.send(signal.SIGSTOP)
                if seen.failed:
                    raise SystemExit(f"{contestant.name}: not every request was answered")
                if number:
                    latency = seen.percentile(seen.answered_ms, 50), seen.percentile(seen.answered_ms, 99)
                    found.setdefault((contestant.name, clients, size), []).append((rate, *latency))
    for contestant in contestants:
        contestant.send(signal.SIGCONT)
    return found


def main() -> None:
    """Start all, measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, default=SAMPLE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    options = parser.parse_args()
    first, second = sorted(os.sched_getaffinity(0))[:2]
    with contextlib.ExitStack() as stack:
        contestants = [
            start(stack, options.model, "one of 1 CPU", [{first}]),
            start(stack, options.model, "one of 2 CPUs", [{first, second}]),
            start(stack, options.model, "two of 1 CPU", [{first}, {second}]),
        ]
        # A stopped process does not end when it is asked to.
        for contestant in contestants:
            stack.callback(contestant.send, signal.SIGCONT)
        found = uvloop.run(rounds(contestants, options))
        memory = {each.name: sum(m.resident_mb(process.pid) for process in each.processes) for each in contestants}
    rows = []
    for (name, clients, size), runs in found.items():
        alone = found["one of 1 CPU", clients, size]
        rows.append(
            {
                "predictors": name,
                "clients": f"{clients} x {size}",
                "texts_per_s": round(m.median([rate for rate, _, _ in runs]), 1),
                "times_1_cpu": round(m.median([mine[0] / its[0] for mine, its in zip(runs, alone, strict=True)]), 2),
                "p50_ms": round(m.median([p50 for _, p50, _ in runs]), 1),
                "p99_ms": round(m.median([p99 for _, _, p99 in runs]), 1),
                "resident_mb": round(memory[name]),
            }
        )
    rows.sort(key=lambda row: str(row["clients"]))
    m.table(list(rows[0]), [list(row.values()) for row in rows])
    m.keep("bench-pods", {"model": options.model.name, "rows": rows})


if __name__ == "__main__":
    main()
