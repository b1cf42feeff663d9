"""Measure everything that load/reports shows: ``python -m load.campaign`` (make load-reports), about 45 quiet minutes.

Steps, each of which --only can pick: runs (the scenarios, the seed's 10.5 minutes among them), calibrate (service
times with the curve's check points, for the shipped model and one of base size), validate (throttled predictors), plan
(curve, simulations, advice), page (the report over the runs).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from load.capacity.stack import REPO, running_stack

REPORTS = Path("load/reports")
CHECKPOINT = REPO / "load" / "bench" / "random_checkpoint.py"
BASE_NAME = "base size (6 layers, 768), random weights"

# Scenario and settings, in the order of the report.
RUNS: tuple[tuple[str, dict[str, str]], ...] = (
    ("smoke", {}),
    ("bad_input", {}),
    ("baseline", {"RATES": "25,50,100", "DURATION_S": "30"}),
    ("cache_mix", {"RATE": "100", "HIT_RATE": "0.95", "DURATION_S": "60"}),
    ("zipf", {"RATE": "50", "DURATION_S": "120"}),
    ("batch", {"RATE": "64", "DURATION_S": "20"}),
    ("spike", {"RATE": "10", "PEAK_FACTOR": "10", "DURATION_S": "80"}),
    ("breakpoint", {"RATE": "20", "PEAK_FACTOR": "150", "HIT_RATE": "0.8", "DURATION_S": "120"}),
    # The seed's clients and share of hits, but with misses of new texts: 0.983 per text, cubed.
    ("saturate", {"VUS": "10", "HIT_RATE": "0.983", "SIZE": "3", "DURATION_S": "60"}),
    ("seed", {}),
)

# Name, title and options of each committed simulation; service times of the base-size model.
SIMULATIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "seed-1-to-6-pods",
        "The seed's ten clients, nothing cached: 1 to 6 predictor pods",
        ("--profile", "seed", "--duration-s", "630", "--hit-share", "0", "--scale-target", "2.4"),
    ),
    (
        "seed-95-percent",
        "The same clients and settings with 95 % hits",
        ("--profile", "seed", "--duration-s", "630", "--hit-share", "0.95", "--scale-target", "2.4"),
    ),
    (
        "spike",
        "A spike to 300 requests/s at 90 % hits, one predictor at the start",
        ("--profile", "spike", "--rate", "20", "--peak", "300", "--hit-share", "0.9", "--scale-target", "2"),
    ),
    (
        "rollout",
        "A rollout at 200 s empties the cache: Zipf traffic over 5,000 texts, 100 requests/s",
        (
            *("--profile", "constant", "--rate", "100", "--zipf-texts", "5000", "--scale-target", "2"),
            *("--rollout-s", "200", "--min-replicas", "2", "--cold"),
        ),
    ),
    (
        "scale-to-zero",
        "Scale to zero: six quiet minutes, then requests again",
        ("--profile", "trace", "--trace", "load/data/quiet_trace.csv", "--hit-share", "0.5", "--min-replicas", "0"),
    ),
)
ADVICE = ("--profile", "spike", "--rate", "20", "--peak", "300", "--duration-s", "300", "--hit-share", "0.9")


def call(module: str, *words: str, env: dict[str, str] | None = None, accept: tuple[int, ...] = (0,)) -> None:
    """Run one of the kit's programs; end the campaign when it fails."""
    print(f"\n== {module} {' '.join(words)}", flush=True)
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=REPO, env={**os.environ, **(env or {})}, check=False
    )
    if done.returncode not in accept:
        raise SystemExit(f"{module} ended with {done.returncode}")


def run_scenarios(reports: Path, only: str) -> None:
    """Run every scenario against the shipped model's stack; a broken threshold is a result, not a failure."""
    for scenario, settings in RUNS:
        if only not in {"", scenario}:
            continue
        with running_stack() as stack, tempfile.TemporaryDirectory(prefix="load-campaign-") as folder:
            call("load.run", scenario, "--url", stack.url, "--results", folder, "--quiet", env=settings, accept=(0, 99))
            for path in Path(folder).iterdir():
                keep = reports / "runs" / f"{scenario}{path.suffix}"
                keep.parent.mkdir(parents=True, exist_ok=True)
                if path.suffix == ".json" or scenario == "seed":
                    keep.write_bytes(path.read_bytes())


def base_checkpoint(folder: Path) -> Path:
    """Write a base-size checkpoint of random weights."""
    subprocess.run([sys.executable, str(CHECKPOINT), str(folder / "base"), "--size=base"], cwd=REPO, check=True)
    return folder / "base"


def calibrate(reports: Path) -> None:
    """Measure service times of the shipped and of a base-size model."""
    # One inference thread: with more, threads waiting for each other on shared cores blur the cost of work.
    words = ("calibrate", "--check", "--threads", "1")
    call("load.capacity", *words, "--out", str(reports / "service_times_shipped.json"))
    with tempfile.TemporaryDirectory(prefix="load-campaign-") as folder:
        model = ("--model-dir", str(base_checkpoint(Path(folder))), "--model-name", BASE_NAME)
        call("load.capacity", *words, *model, "--out", str(reports / "service_times.json"))


def validate(reports: Path) -> None:
    """Compare predictions with throttled predictors."""
    with tempfile.TemporaryDirectory(prefix="load-campaign-") as folder:
        model = ("--model-dir", str(base_checkpoint(Path(folder))), "--model-name", BASE_NAME)
        call("load.capacity", "validate", *model, "--out", str(reports / "validation"))


def plan(reports: Path) -> None:
    """Compute curve, simulations and advice from the measured service times."""
    times = ("--times", str(reports / "service_times.json"))
    shipped = ("--times", str(reports / "service_times_shipped.json"))
    call("load.capacity", "curve", *times, "--out", str(reports / "curve"))
    call("load.capacity", "curve", *shipped, "--out", str(reports / "curve-shipped"))
    for name, title, words in SIMULATIONS:
        where = ("--out", str(reports / "simulations"), "--name", name, "--title", title)
        call("load.capacity", "simulate", *times, *where, *words)
    call("load.capacity", "recommend", *times, "--out", str(reports / "advice"), *ADVICE)
    call("load.capacity", "pods", *times, "--out", str(reports / "pods"))


def report(reports: Path) -> None:
    """Write the page over the runs."""
    call("load.report", str(reports / "runs"), "--out", str(reports / "runs"))


def main() -> int:
    """Run the chosen steps in order."""
    steps: dict[str, Callable[[Path], None]] = {
        "runs": lambda reports: run_scenarios(reports, ""),
        "calibrate": calibrate,
        "validate": validate,
        "plan": plan,
        "page": report,
    }
    parser = argparse.ArgumentParser(prog="python -m load.campaign", description=__doc__.splitlines()[0])
    choices = [*steps, *(f"runs:{scenario}" for scenario, _ in RUNS)]
    parser.add_argument("--only", nargs="+", choices=choices, metavar="STEP", help=", ".join(choices))
    parser.add_argument("--reports", type=Path, default=REPORTS)
    options = parser.parse_args()
    for step in options.only or steps:
        name, _, scenario = step.partition(":")
        if scenario:
            run_scenarios(options.reports, scenario)
        else:
            steps[name](options.reports)
    return 0


if __name__ == "__main__":
    sys.exit(main())
