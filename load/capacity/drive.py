"""Runs k6 scenarios against a stack and gives their results, with the CPU time used meanwhile."""

import dataclasses
import json
import os
import re
import resource
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from load.capacity.stack import Stack
from load.machine import machine_facts
from load.run import command

BATCHES = re.compile(r"^predictor_batch_texts_count(?:\{[^}]*\})? (\S+)", re.MULTILINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """One k6 run: its result, and CPU seconds of transformer, predictor(s), redis and k6 itself during it."""

    result: dict[str, Any]
    cpu_s: dict[str, float]
    batches: float


def batches_so_far(stack: Stack) -> float:
    """Give the number of batches that the predictors have run, from their metrics."""
    total = 0.0
    for url in stack.predictor_urls:
        # Only this machine's own processes are asked.
        with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
            total += sum(float(count) for count in BATCHES.findall(answer.read().decode()))
    return total


def own_children_s() -> float:
    """Give the CPU seconds of this process's ended children."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def k6_result(scenario: str, settings: Mapping[str, float | str]) -> dict[str, Any]:
    """Run a scenario to its end; give its result.

    Raises:
        RuntimeError: k6 left no result (the message has its last output).
    """
    with tempfile.TemporaryDirectory(prefix="load-run-") as folder:
        out = Path(folder) / scenario
        given = {name: str(value) for name, value in settings.items()}
        finished = subprocess.run(
            command(scenario, prometheus="", quiet=True),
            env={**os.environ, **given, "OUT": str(out), "MACHINE": json.dumps(machine_facts())},
            capture_output=True,
            text=True,
            check=False,
        )
        path = out.with_suffix(".json")
        if not path.exists():
            raise RuntimeError(f"k6 run {scenario} left no result:\n{(finished.stdout + finished.stderr)[-1500:]}")
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return result


def run_scenario(stack: Stack, scenario: str, **settings: float | str) -> Observation:
    """Run a scenario against a stack to its end; raises RuntimeError as ``k6_result`` does."""
    before, batches, children_s = stack.cpu_seconds(), batches_so_far(stack), own_children_s()
    result = k6_result(scenario, {**settings, "URL": stack.url})
    after = stack.cpu_seconds()
    cpu_s = {name: after[name] - before[name] for name in after} | {"k6": own_children_s() - children_s}
    return Observation(result, cpu_s, batches_so_far(stack) - batches)
