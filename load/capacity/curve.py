"""The hit-ratio curve: capacity, p99 and cost by the share of requests that the cache answers."""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

from load.capacity.cost import Prices
from load.capacity.kpa import KpaSettings
from load.capacity.service import ServiceTimes
from load.capacity.simulate import Scenario, StageSettings, simulate
from load.capacity.workload import Mix, constant, sentence_chars

HIT_SHARES = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
SATURATED_BATCH = 32


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one hit share means for the plan.

    Capacities are requests/s, hits included, of one pod of each component; ``limit`` names the smaller. ``p99_ms`` is
    at the chosen utilisation of one pod of each, ``dollars_per_million`` at that utilisation of pods balanced so that
    ``predictors_per_transformer`` of them match one transformer.
    """

    hit_share: float
    transformer_per_s: float
    predictor_per_s: float
    capacity_per_s: float
    limit: str
    p99_ms: float | None
    dollars_per_million: float
    predictors_per_transformer: float


def mean_chars() -> float:
    """Give the mean length of the texts."""
    chars = sentence_chars()
    return sum(chars) / len(chars)


def predictor_request_s(times: ServiceTimes, *, batch: int = SATURATED_BATCH) -> float:
    """Give predictor seconds per single-text request when batches of ``batch`` requests form."""
    return times.batch_of(requests=batch, chars=round(batch * mean_chars())) / batch


def stage_capacities(times: ServiceTimes, hit_share: float) -> tuple[float, float]:
    """Give requests/s (hits included) that one transformer and one predictor pod can carry, single-text requests."""
    hit_s = times.transformer_s(texts=1, forwarded=False)
    miss_s = times.transformer_s(texts=1, forwarded=True)
    transformer = 1 / (hit_share * hit_s + (1 - hit_share) * miss_s)
    misses = 1 - hit_share
    predictor = math.inf if misses == 0 else 1 / (misses * predictor_request_s(times))
    return transformer, predictor


def machine_capacity(times: ServiceTimes, hit_share: float, *, cpus: float, generator_s: float) -> float:
    """Give requests/s of one transformer and one predictor that share ``cpus`` with Redis and a load generator.

    The generator costs ``generator_s`` CPU seconds a request. The limit is the shared CPU or one of the processes,
    each of which runs on one core.
    """
    transformer, predictor = stage_capacities(times, hit_share)
    # The hot set lives in the transformer's own memory; Redis is asked about the rest.
    cost_s = generator_s + 1 / transformer + (1 - hit_share) * times.redis_forward_s
    cost_s += 0.0 if math.isinf(predictor) else 1 / predictor
    return min(transformer, predictor, cpus / cost_s)


def p99_at(
    times: ServiceTimes, hit_share: float, *, rate_per_s: float, predictors: int, duration_s: float, seed: int = 255
) -> float | None:
    """Simulate fixed pods, not new ones, at a constant rate; give p99 in milliseconds of all requests."""
    fixed = KpaSettings(min_scale=1, max_scale=1)
    many = KpaSettings(min_scale=predictors, max_scale=predictors, initial_scale=predictors)
    scenario = Scenario(
        times=times.settled(),
        duration_s=duration_s,
        rate=constant(rate_per_s),
        mix=Mix(hit_share=hit_share),
        transformer=StageSettings(kpa=fixed),
        predictor=StageSettings(kpa=many),
        cache_ttl_s=math.inf,
        seed=seed,
    )
    return simulate(scenario).latency(from_s=duration_s / 10).p99_ms


def curve(
    times: ServiceTimes,
    *,
    prices: Prices,
    utilization: float = 0.6,
    hit_shares: Iterable[float] = HIT_SHARES,
    simulated_requests: int = 40_000,
) -> list[Point]:
    """Give one point per hit share."""
    points = []
    for share in hit_shares:
        transformer, predictor = stage_capacities(times, share)
        capacity = min(transformer, predictor)
        rate = utilization * capacity
        per_transformer = 0.0 if math.isinf(predictor) else transformer / predictor
        duration_s = max(20.0, simulated_requests / rate)
        points.append(
            Point(
                hit_share=share,
                transformer_per_s=transformer,
                predictor_per_s=predictor,
                capacity_per_s=capacity,
                limit="transformer" if transformer <= predictor else "predictor",
                p99_ms=p99_at(times, share, rate_per_s=rate, predictors=1, duration_s=duration_s),
                dollars_per_million=prices.per_million(
                    transformers=1, predictors=per_transformer, requests_per_s=utilization * transformer
                ),
                predictors_per_transformer=per_transformer,
            )
        )
    return points


def as_rows(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Give the points as plain values for JSON; an unlimited predictor is null."""
    rows = [dataclasses.asdict(point) for point in points]
    for row in rows:
        if math.isinf(row["predictor_per_s"]):
            row["predictor_per_s"] = None
    return rows
