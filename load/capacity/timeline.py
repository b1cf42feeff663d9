"""What happened in a simulation, second by second and as a whole."""

import dataclasses
from typing import Any

import numpy as np

OUTCOMES = ("hit", "partial", "miss", "failed")


@dataclasses.dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in milliseconds over ``count`` answers; None where there were none."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    @classmethod
    def of(cls, seconds: list[float]) -> "Latency":
        """Summarise latencies given in seconds."""
        if not seconds:
            return cls(0, None, None, None, None)
        p50, p95, p99 = np.percentile(seconds, [50, 95, 99]) * 1000
        return cls(len(seconds), float(p50), float(p95), float(p99), max(seconds) * 1000)


@dataclasses.dataclass(frozen=True, slots=True)
class Slice:
    """One slice of time: its start, arrivals, failures, hits, latency, and the pods at its end."""

    start_s: float
    arrived: int
    failed: int
    hits: int
    latency: Latency
    transformer_pods: int
    predictor_pods: int
    panicking: bool


class Timeline:
    """Collects arrivals, ends and pod counts of one simulation."""

    def __init__(self, *, duration_s: float) -> None:
        self.duration_s = duration_s
        self._arrivals: list[float] = []
        self._ends: list[tuple[float, float, str]] = []
        self._pods: list[tuple[float, int, int, bool]] = []
        self.transformer_pod_s = 0.0
        self.predictor_pod_s = 0.0

    def arrived(self, at_s: float) -> None:
        """Count a request."""
        self._arrivals.append(at_s)

    def ended(self, arrived_s: float, at_s: float, outcome: str) -> None:
        """Count an answer or a refusal."""
        self._ends.append((arrived_s, at_s - arrived_s, outcome))

    def observed(self, at_s: float, *, transformer: int, predictor: int, panicking: bool) -> None:
        """Note the ready pods."""
        self._pods.append((at_s, transformer, predictor, panicking))

    def close(self, *, transformer_pod_s: float, predictor_pod_s: float) -> None:
        """Note what the run used, in pod seconds."""
        self.transformer_pod_s = transformer_pod_s
        self.predictor_pod_s = predictor_pod_s

    @property
    def pods(self) -> list[tuple[float, int, int, bool]]:
        """Second by second: when, ready transformers, ready predictors, whether one of them panicked."""
        return list(self._pods)

    @property
    def requests(self) -> int:
        """Requests that arrived."""
        return len(self._arrivals)

    @property
    def failed(self) -> int:
        """Requests that were refused."""
        return sum(outcome == "failed" for _, _, outcome in self._ends)

    @property
    def unfinished(self) -> int:
        """Requests without an answer when the time was up."""
        return self.requests - len(self._ends)

    @property
    def lost_share(self) -> float:
        """Share of the requests that were refused or left without an answer."""
        return (self.failed + self.unfinished) / self.requests if self.requests else 0.0

    def latency(self, *outcomes: str, from_s: float = 0.0) -> Latency:
        """Summarise the answers of the given outcomes (default: all but failures) that arrived after ``from_s``."""
        wanted = outcomes or ("hit", "partial", "miss")
        return Latency.of([took for at, took, outcome in self._ends if outcome in wanted and at >= from_s])

    def hit_share(self) -> float:
        """Share of the answers that came from the cache alone."""
        answered = [outcome for _, _, outcome in self._ends if outcome != "failed"]
        return answered.count("hit") / len(answered) if answered else 0.0

    def most_pods(self) -> tuple[int, int]:
        """Most ready transformer and predictor pods."""
        return max(pods[1] for pods in self._pods), max(pods[2] for pods in self._pods)

    def slices(self, count: int = 30) -> list[Slice]:
        """Cut the run into ``count`` slices of equal length."""
        length_s = self.duration_s / count
        arrivals = np.histogram(self._arrivals, bins=count, range=(0, self.duration_s))[0]
        ends: list[list[tuple[float, str]]] = [[] for _ in range(count)]
        for at_s, took_s, outcome in self._ends:
            ends[min(count - 1, int(at_s / length_s))].append((took_s, outcome))
        slices = []
        for number in range(count):
            start_s = number * length_s
            pods = [each for each in self._pods if each[0] < start_s + length_s][-1]
            answered = [took for took, outcome in ends[number] if outcome != "failed"]
            outcomes = [outcome for _, outcome in ends[number]]
            slices.append(
                Slice(
                    start_s,
                    int(arrivals[number]),
                    outcomes.count("failed"),
                    outcomes.count("hit"),
                    Latency.of(answered),
                    pods[1],
                    pods[2],
                    any(each[3] for each in self._pods if start_s <= each[0] < start_s + length_s),
                )
            )
        return slices

    def summary(self) -> dict[str, Any]:
        """Give the run as plain values for JSON."""
        return {
            "duration_s": self.duration_s,
            "requests": self.requests,
            "failed": self.failed,
            "unfinished": self.unfinished,
            "hit_share": self.hit_share(),
            "latency": {
                name: dataclasses.asdict(self.latency(*chosen))
                for name, chosen in {
                    "all": (),
                    "hit": ("hit",),
                    "partial": ("partial",),
                    "miss": ("miss",),
                }.items()
            },
            "pods": {
                "most_transformer": self.most_pods()[0],
                "most_predictor": self.most_pods()[1],
                "transformer_pod_s": self.transformer_pod_s,
                "predictor_pod_s": self.predictor_pod_s,
            },
            "slices": [dataclasses.asdict(each) for each in self.slices()],
        }
