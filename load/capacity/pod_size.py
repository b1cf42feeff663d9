"""Which size of predictor pod is cheapest for a p99: the same CPUs in pods of one, two, four or eight, simulated."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from load.capacity.cost import SECONDS_PER_HOUR, Prices
from load.capacity.curve import p99_at, predictor_request_s
from load.capacity.service import ServiceTimes

SIZES = (1, 2, 4, 8)
FLEET_CPUS = 8
LIMITS_MS = (100.0, 200.0, 400.0, 800.0)
UTILISATIONS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# What a pod's sidecars reserve beside the model server.
SIDECAR_VCPUS = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Pods of one size at one utilisation: requests/s of all together, p99 in ms, dollars per million requests."""

    pod_cpus: int
    pods: int
    utilisation: float
    requests_per_s: float
    p99_ms: float | None
    dollars_per_million: float


def effective_cpus(cpus: int, *, two_cpu_speedup: float) -> float:
    """Give a forward's speed-up over one CPU: Amdahl's law, from the measured speed-up of two CPUs.

    Raises:
        ValueError: two CPUs cannot give that.
    """
    if not 1 <= two_cpu_speedup <= 2:
        raise ValueError(f"two CPUs make a forward 1 to 2 times faster, not {two_cpu_speedup:g}")
    serial = 2 / two_cpu_speedup - 1
    return cpus / (1 + serial * (cpus - 1))


def fleets(
    times: ServiceTimes,
    *,
    prices: Prices,
    two_cpu_speedup: float,
    sizes: Iterable[int] = SIZES,
    utilisations: Sequence[float] = UTILISATIONS,
    simulated_requests: int = 6_000,
) -> list[Fleet]:
    """Simulate single-text misses on ``FLEET_CPUS`` CPUs, in pods of each size.

    Args:
        times: of one CPU.
        prices: of a node.
        two_cpu_speedup: of a forward, measured.
        sizes: CPUs of a pod.
        utilisations: shares of the pods' capacity.
        simulated_requests: of each size and utilisation.
    """
    found = []
    for cpus in sizes:
        of_pod = times.with_threads(effective_cpus(cpus, two_cpu_speedup=two_cpu_speedup))
        pods = FLEET_CPUS // cpus
        hourly = dataclasses.replace(prices, predictor_vcpus=cpus + SIDECAR_VCPUS).pods_per_hour(
            transformers=0, predictors=pods
        )
        for utilisation in utilisations:
            rate = utilisation * pods / predictor_request_s(of_pod)
            duration_s = simulated_requests / rate
            found.append(
                Fleet(
                    pod_cpus=cpus,
                    pods=pods,
                    utilisation=utilisation,
                    requests_per_s=rate,
                    p99_ms=p99_at(of_pod, 0.0, rate_per_s=rate, predictors=pods, duration_s=duration_s),
                    dollars_per_million=hourly / (rate * SECONDS_PER_HOUR) * 1e6,
                )
            )
    return found


def cheapest(tried: Sequence[Fleet], *, pod_cpus: int, limit_ms: float) -> Fleet | None:
    """Give the busiest fleet of a size that keeps a p99; None when none does."""
    kept = [each for each in tried if each.pod_cpus == pod_cpus and each.p99_ms is not None and each.p99_ms <= limit_ms]
    return max(kept, key=lambda each: each.requests_per_s, default=None)


def page(tried: Sequence[Fleet], prices: Prices, *, two_cpu_speedup: float, source: str) -> str:
    """Write the advice: dollars per million by pod size and p99."""
    sizes = sorted({each.pod_cpus for each in tried})
    lines = [
        "# Pod sizes",
        "",
        f"The same {FLEET_CPUS} CPUs of predictors in pods of different sizes, every request one new text, simulated",
        f"from service times of one CPU ({source}).",
        f"Two CPUs make a forward {two_cpu_speedup:g} times faster, four and eight what Amdahl's law makes of that.",
        f"Dollars per million requests on {prices.node.name}, predictors alone, at the most load that keeps the p99.",
        "",
        "| p99 at most, ms | " + " | ".join(f"{FLEET_CPUS // cpus} x {cpus} CPU" for cpus in sizes) + " | cheapest |",
        "|---" * (len(sizes) + 2) + "|",
    ]
    for limit_ms in LIMITS_MS:
        kept = {cpus: cheapest(tried, pod_cpus=cpus, limit_ms=limit_ms) for cpus in sizes}
        cells = [
            "-" if it is None else f"{it.dollars_per_million:.2f} ({it.requests_per_s:.0f}/s)" for it in kept.values()
        ]
        paid = {cpus: it.dollars_per_million for cpus, it in kept.items() if it is not None}
        best = f"{min(paid, key=lambda cpus: paid[cpus])} CPU" if paid else "-"
        lines.append(f"| {limit_ms:g} | {' | '.join(cells)} | {best} |")
    lines += [
        "",
        "Every pod holds its own copy of the model, so small pods cost memory: see the predictor's README.",
        "",
    ]
    return "\n".join(lines)


def as_rows(tried: Sequence[Fleet]) -> list[dict[str, Any]]:
    """Give the fleets as plain values."""
    return [dataclasses.asdict(each) for each in tried]
