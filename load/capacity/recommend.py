"""Advice: the cheapest autoscaling settings that keep an SLO under a given load."""

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from load.capacity.cost import HOURS_PER_MONTH, SECONDS_PER_HOUR, Prices
from load.capacity.simulate import Scenario, simulate
from load.capacity.timeline import Timeline


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """What users must get: a bound on p99 in milliseconds and on the share of requests lost."""

    p99_ms: float
    lost_share: float = 0.001

    def holds(self, timeline: Timeline) -> bool:
        """Whether a simulated run kept it."""
        p99_ms = timeline.latency().p99_ms
        return p99_ms is not None and p99_ms <= self.p99_ms and timeline.lost_share <= self.lost_share


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Settings of the predictor tried, and what they gave."""

    scale_target: float
    min_replicas: int
    target_burst_capacity: float
    p50_ms: float | None
    p99_ms: float | None
    lost_share: float
    most_predictors: int
    dollars_per_hour: float
    holds: bool


def dollars_per_hour(timeline: Timeline, prices: Prices) -> float:
    """Give the mean price of the pods a run used."""
    return prices.pods_per_hour(
        transformers=timeline.transformer_pod_s / timeline.duration_s,
        predictors=timeline.predictor_pod_s / timeline.duration_s,
    )


def candidates(
    scenario: Scenario,
    *,
    slo: Slo,
    prices: Prices,
    scale_targets: Iterable[float] = (1, 2, 4, 8, 16),
    min_replicas: Iterable[int] = (0, 1, 2, 3),
    burst_capacities: Iterable[float] = (0, 211),
) -> Iterator[Candidate]:
    """Try every combination on the predictor; give each one's outcome as soon as it is known."""
    for target, least, burst in itertools.product(scale_targets, min_replicas, burst_capacities):
        stage = scenario.predictor
        kpa = dataclasses.replace(
            stage.kpa, target=target, min_scale=least, initial_scale=max(least, 1), target_burst_capacity=burst
        )
        predictor = dataclasses.replace(stage, kpa=kpa, initial_pods=least)
        timeline = simulate(dataclasses.replace(scenario, predictor=predictor))
        latency = timeline.latency()
        yield Candidate(
            scale_target=target,
            min_replicas=least,
            target_burst_capacity=burst,
            p50_ms=latency.p50_ms,
            p99_ms=latency.p99_ms,
            lost_share=timeline.lost_share,
            most_predictors=timeline.most_pods()[1],
            dollars_per_hour=dollars_per_hour(timeline, prices),
            holds=slo.holds(timeline),
        )


def best(tried: Iterable[Candidate]) -> Candidate | None:
    """Give the cheapest that keeps the SLO; of equals the one with the lower p99; None when none keeps it."""
    kept = [candidate for candidate in tried if candidate.holds]
    return min(kept, key=lambda each: (round(each.dollars_per_hour, 4), each.p99_ms), default=None)


def as_row(candidate: Candidate) -> dict[str, Any]:
    """Give a candidate as plain values."""
    return dataclasses.asdict(candidate)


def monthly(dollars: float) -> float:
    """Turn dollars an hour into dollars a month of 730 hours."""
    return dollars * HOURS_PER_MONTH


def cost_per_million(timeline: Timeline, prices: Prices) -> float:
    """Give dollars per million answered requests of a run."""
    answered = timeline.requests - timeline.failed - timeline.unfinished
    total = dollars_per_hour(timeline, prices) * timeline.duration_s / SECONDS_PER_HOUR
    return total / answered * 1e6 if answered else float("inf")
