"""Predictions against runs of the local stack: the hit-ratio curve, and 1, 2, 4 throttled predictors."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from load.capacity.curve import machine_capacity, predictor_request_s
from load.capacity.drive import run_scenario
from load.capacity.kpa import KpaSettings
from load.capacity.service import ServiceTimes
from load.capacity.simulate import Scenario, StageSettings, simulate
from load.capacity.stack import Stack
from load.capacity.workload import Mix, constant

WARM_UP_S = 5
CHECK_UTILIZATION = 0.3
PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")


def fixed(pods: int, *, cpu_quota: float | None = None, quota_period_s: float = 0.1) -> StageSettings:
    """Give a stage of a fixed number of pods."""
    kpa = KpaSettings(min_scale=pods, max_scale=pods, initial_scale=pods, target_burst_capacity=0)
    return StageSettings(kpa=kpa, cpu_quota=cpu_quota, quota_period_s=quota_period_s)


def predicted(
    times: ServiceTimes,
    *,
    rate_per_s: float,
    hit_share: float,
    duration_s: float,
    predictor: StageSettings,
    runs: int = 5,
) -> dict[str, float]:
    """Simulate the same load a few times with different draws; give the mean of each percentile in milliseconds.

    The stack that is measured has met its sizes of batch by then.
    """
    samples: list[dict[str, float]] = []
    for seed in range(runs):
        scenario = Scenario(
            times=times.settled(),
            duration_s=duration_s,
            rate=constant(rate_per_s),
            mix=Mix(hit_share=hit_share),
            transformer=fixed(1),
            predictor=predictor,
            cache_ttl_s=math.inf,
            seed=seed,
        )
        latency = simulate(scenario).latency()
        samples.append({name: float(getattr(latency, name) or 0.0) for name in PERCENTILES})
    return {name: sum(sample[name] for sample in samples) / runs for name in PERCENTILES}


def compared(measured: dict[str, Any], foretold: dict[str, float]) -> dict[str, dict[str, float]]:
    """Set measured and predicted percentiles side by side; ``error`` is predicted over measured, less 1."""
    return {
        name: {
            "measured": float(measured[name]),
            "predicted": foretold[name],
            "error": foretold[name] / float(measured[name]) - 1,
        }
        for name in PERCENTILES
    }


def check_curve(
    stack: Stack,
    times: ServiceTimes,
    *,
    threads: float,
    cpus: int,
    generator_s: float,
    hit_shares: Iterable[float],
    clients: int,
    duration_s: float,
) -> list[dict[str, Any]]:
    """Measure the stack at hit shares: the most it carries, then latency at a fraction of what was predicted."""
    rows = []
    for share in hit_shares:
        capacity = machine_capacity(times, share, cpus=cpus, generator_s=generator_s)
        most = run_scenario(stack, "saturate", VUS=clients, DURATION_S=duration_s, HIT_RATE=share)
        rate = round(capacity * CHECK_UTILIZATION)
        calm = run_scenario(stack, "cache_mix", RATE=rate, DURATION_S=duration_s, HIT_RATE=share, VERIFY=0.01)
        reached = most.result["requests"]["per_s"]
        foretold = predicted(
            times.with_threads(threads), rate_per_s=rate, hit_share=share, duration_s=duration_s, predictor=fixed(1)
        )
        rows.append(
            {
                "hit_share": share,
                "capacity_per_s": {"measured": reached, "predicted": capacity, "error": capacity / reached - 1},
                "rate_per_s": rate,
                "measured_hit_share": calm.result["cache"]["hit_share"],
                "dropped": calm.result["dropped"],
                "failed_share": calm.result["requests"]["failed_share"],
                "latency": compared(calm.result["latency"]["all"], foretold),
            }
        )
    return rows


def throttled_capacity(times: ServiceTimes, *, pods: int, cpu_quota: float) -> float:
    """Give misses/s that ``pods`` predictors of a CPU quota carry when every text comes alone."""
    return pods * cpu_quota / predictor_request_s(times, batch=1)


def check_pods(
    stack: Stack,
    times: ServiceTimes,
    *,
    pods: int,
    cpu_quota: float,
    quota_period_s: float,
    utilizations: Sequence[float],
    duration_s: float,
) -> list[dict[str, Any]]:
    """Warm a stack up, throttle its predictors and measure it at shares of its capacity; nothing hits the cache."""
    run_scenario(stack, "saturate", VUS=8 * pods, DURATION_S=WARM_UP_S, HIT_RATE=0)
    run_scenario(stack, "saturate", VUS=1, DURATION_S=WARM_UP_S, HIT_RATE=0)
    stack.throttle(cpu_quota=cpu_quota, period_s=quota_period_s)
    rows = []
    for utilization in utilizations:
        rate = utilization * throttled_capacity(times, pods=pods, cpu_quota=cpu_quota)
        run = run_scenario(stack, "cache_mix", RATE=round(rate, 2), DURATION_S=duration_s, HIT_RATE=0, VERIFY=0.1)
        stage = fixed(pods, cpu_quota=cpu_quota, quota_period_s=quota_period_s)
        foretold = predicted(times, rate_per_s=rate, hit_share=0.0, duration_s=duration_s, predictor=stage)
        rows.append(
            {
                "pods": pods,
                "utilization": utilization,
                "rate_per_s": rate,
                "requests": run.result["requests"]["count"],
                "dropped": run.result["dropped"],
                "failed_share": run.result["requests"]["failed_share"],
                "latency": compared(run.result["latency"]["all"], foretold),
            }
        )
    return rows
