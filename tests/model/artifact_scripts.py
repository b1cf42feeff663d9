"""Runs the commands of model-artifacts/ as people do: in a process of their own."""

import os
import subprocess
import sys
from pathlib import Path

from support.processes import REPO

ARTIFACTS = REPO / "model-artifacts"
SHIPPED = ARTIFACTS / "distilbert-tiny-sst2"
SAMPLE = Path(__file__).with_name("sst2_dev_sample.tsv")


def sample_rows() -> list[tuple[int, str]]:
    """Give (label, text) of the rows of SST-2 that are kept here."""
    lines = [line for line in SAMPLE.read_text(encoding="utf-8").splitlines() if not line.startswith(("#", "label\t"))]
    return [(int(line[0]), line[2:]) for line in lines]


def run_script(name: str, *arguments: object, timeout_s: float = 110) -> subprocess.CompletedProcess[str]:
    """Run a script on one thread, without the caller's settings of the predictor."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREDICTOR_")}
    return subprocess.run(
        [sys.executable, str(ARTIFACTS / name), *map(str, arguments)],
        env={**kept, "PREDICTOR_THREADS": "1"},
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
