"""Interleaved rounds: in each, every case runs against every contestant in turn while the others are paused."""

import contextlib
import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from load.bench.peers.contestants import NAMES, OURS, OURS_INT8, Contestant, PeerError, started
from load.bench.peers.environments import HERE
from load.machine import k6_binary

WARM_UP_S = 3
PLAIN = "FastAPI + pipeline + Redis"


@dataclass(frozen=True, kw_only=True)
class Case:
    """A closed loop of ``clients`` whose requests have ``size`` texts, a ``share`` of them the one shared request."""

    title: str
    clients: int
    size: int
    share: float


CASES = {
    "singles": Case(title="10 clients, one new text each", clients=10, size=1, share=0.0),
    "batches": Case(title="4 clients, 16 new texts each", clients=4, size=16, share=0.0),
    "mix": Case(title="10 clients, 3 texts, 95 % known requests", clients=10, size=3, share=0.95),
    "hits": Case(title="10 clients, one known request of 3 texts", clients=10, size=3, share=1.0),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What k6 saw of one case and contestant in one round."""

    requests_per_s: float
    texts_per_s: float
    p50_ms: float
    p99_ms: float
    miss_p50_ms: float | None
    failed: int
    cpu_ms_per_text: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The results of all rounds.

    Attributes:
        runs: by case and contestant, a run for each round.
        difference: largest one of a score from the plain pipeline's, by contestant.
        resident_mb: memory after the load, by contestant.
    """

    runs: dict[str, dict[str, list[Run]]]
    difference: dict[str, float]
    resident_mb: dict[str, float]

    def median(self, case: str, name: str, quantity: str) -> float | None:
        """Give a quantity's median over the rounds."""
        values = [getattr(run, quantity) for run in self.runs[case][name]]
        return None if None in values else statistics.median(values)

    def times(self, case: str, name: str, other: str) -> float:
        """Give the median of the rounds' own ratios of rates."""
        pairs = zip(self.runs[case][name], self.runs[case][other], strict=True)
        return statistics.median(mine.requests_per_s / theirs.requests_per_s for mine, theirs in pairs)

    def plain(self) -> dict[str, object]:
        """Give everything as JSON takes it."""
        return asdict(self)


def measure(
    *, model: Path, int8: Path, names: Sequence[str] = NAMES, rounds: int, seconds: float, texts: Sequence[str]
) -> Measured:
    """Start everyone, compare their scores, run the rounds.

    Args:
        model: the checkpoint that all serve.
        int8: the same one, quantised.
        names: the contestants.
        rounds: that count; one more warms up.
        seconds: of each case, contestant and round.
        texts: whose scores are compared.

    Raises:
        PeerError: a contestant did not start or answered wrongly.
    """
    runs: dict[str, dict[str, list[Run]]] = {case: {name: [] for name in names} for case in CASES}
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch, contextlib.ExitStack() as stack:
        contestants = []
        for number, name in enumerate(names):
            at = started(name, model=model, int8=int8, folder=Path(scratch) / str(number))
            contestant = stack.enter_context(at)
            contestants.append(contestant)
            print(f"{name} serves", flush=True)
        scores = {each.name: each.ask(texts) for each in contestants}
        for each in contestants:
            each.hold()
            # A paused process handles no signal: it has to be resumed, also when the block ends early.
            stack.callback(each.let_go)
        for number in range(rounds + 1):
            turn = contestants[number % len(contestants) :] + contestants[: number % len(contestants)]
            for key, case in CASES.items():
                for each in turn:
                    each.let_go()
                    run = load(each, case, seconds=seconds if number else WARM_UP_S, mark=f"{number}{key}")
                    each.hold()
                    if number:
                        runs[key][each.name].append(run)
                        print(f"round {number}, {key}, {each.name}: {run.requests_per_s:.1f}/s", flush=True)
        for each in contestants:
            each.let_go()
        resident = {each.name: each.resident_mb() for each in contestants}
    return Measured(runs=runs, difference=differences(scores), resident_mb=resident)


def load(contestant: Contestant, case: Case, *, seconds: float, mark: str) -> Run:
    """Have k6 load a contestant.

    Raises:
        PeerError: not every request was answered.
    """
    with tempfile.TemporaryDirectory(prefix="peers-k6-") as scratch:
        out = Path(scratch) / "summary.json"
        settings = {
            "URL": contestant.url, "KEY": contestant.key, "VUS": case.clients, "SIZE": case.size, "SHARE": case.share,
            "SECONDS": seconds, "MARK": mark, "OUT": out,
        }  # fmt: skip
        line = [k6_binary(), "run", "--quiet", "--address=", "--no-usage-report", str(HERE / "load.js")]
        env = {**os.environ, **{name: str(value) for name, value in settings.items()}}
        used_s = contestant.cpu_s()
        done = subprocess.run(line, env=env, capture_output=True, text=True, check=False)
        if not out.exists():
            raise PeerError(f"k6 gave no summary: {done.stderr[-2000:]}")
        used_s = contestant.cpu_s() - used_s
        run = read(json.loads(out.read_text()), size=case.size, cpu_s=used_s)
    if run.failed:
        raise PeerError(f"{contestant.name} failed {run.failed} requests of {case.title}")
    return run


def read(summary: Mapping[str, object], *, size: int, cpu_s: float) -> Run:
    """Take a run's figures from k6's summary.

    Raises:
        PeerError: nothing was answered.
    """
    metrics: dict[str, dict[str, dict[str, float]]] = summary["metrics"]  # type: ignore[assignment]
    measured_s: float = summary["measured_s"]  # type: ignore[assignment]
    if "checks" not in metrics:
        raise PeerError("no request was answered while k6 waited")
    duration, fresh = metrics["http_req_duration"]["values"], metrics.get("fresh_ms", {}).get("values", {})
    per_s = duration["count"] / measured_s
    return Run(
        requests_per_s=per_s,
        texts_per_s=per_s * size,
        p50_ms=duration["med"],
        p99_ms=duration["p(99)"],
        miss_p50_ms=fresh["med"] if fresh.get("count") else None,
        failed=int(metrics["checks"]["values"]["fails"]),
        cpu_ms_per_text=cpu_s * 1e3 / max(1.0, duration["count"] * size),
    )


def differences(scores: Mapping[str, list[dict[str, float]]]) -> dict[str, float]:
    """Give each contestant's largest difference from the plain pipeline's scores."""
    reference = scores.get(PLAIN) or next(iter(scores.values()))
    return {
        name: max(
            abs(mine[label] - truth[label]) for mine, truth in zip(own, reference, strict=True) for label in truth
        )
        for name, own in scores.items()
    }


def best_peer(measured: Measured, case: str) -> str:
    """Name the fastest contestant that is not this project's."""
    peers = [name for name in measured.runs[case] if name not in (OURS, OURS_INT8)]
    return max(peers, key=lambda name: measured.median(case, name, "requests_per_s") or 0.0)
