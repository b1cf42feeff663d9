"""Measures service times on the local stack: CPU time per request, text, batch and character, kernels, idle hops."""

import dataclasses
from typing import Any

from load.capacity import sizes
from load.capacity.curve import mean_chars
from load.capacity.drive import Observation, run_scenario
from load.capacity.fit import fit_costs
from load.capacity.service import ServiceTimes
from load.capacity.stack import Stack
from load.machine import machine_facts, model_facts


@dataclasses.dataclass(frozen=True, slots=True)
class Phase:
    """A closed loop of ``clients`` that hits or misses, ``size`` texts a request."""

    name: str
    hits: bool
    clients: int
    size: int


PHASES = (
    Phase("one client, hits", hits=True, clients=1, size=1),
    Phase("busy, hits", hits=True, clients=8, size=1),
    Phase("hits of 16 texts", hits=True, clients=4, size=16),
    Phase("one client, misses", hits=False, clients=1, size=1),
    Phase("busy, misses", hits=False, clients=16, size=1),
    Phase("misses of 16 texts", hits=False, clients=4, size=16),
    Phase("one client, misses of 4 texts", hits=False, clients=1, size=4),
)


def observe(stack: Stack, *, phase_s: float) -> list[Observation]:
    """Run every phase after the other, once briefly before to warm the processes."""
    run_scenario(stack, "saturate", VUS=2, DURATION_S=2, HIT_RATE=0)
    return [
        run_scenario(
            stack, "saturate", VUS=phase.clients, DURATION_S=phase_s, HIT_RATE=int(phase.hits), SIZE=phase.size
        )
        for phase in PHASES
    ]


def service_times(observed: list[Observation], *, source: str) -> ServiceTimes:
    """Give service times from the observations of PHASES, hops and new sizes not yet among them."""
    requests = [each.result["requests"]["count"] for each in observed]
    texts = [each.result["texts"]["count"] for each in observed]
    forwarded = [0 if phase.hits else count for phase, count in zip(PHASES, requests, strict=True)]
    hit_s, forward_s, text_s = fit_costs(
        list(zip(requests, forwarded, texts, strict=True)), [each.cpu_s["transformer"] for each in observed]
    )
    missed = [index for index, phase in enumerate(PHASES) if not phase.hits]
    batch_s, predict_s, char_s = fit_costs(
        [(observed[i].batches, requests[i], texts[i] * mean_chars()) for i in missed],
        [observed[i].cpu_s["predictor"] for i in missed],
    )
    redis_s = sum(observed[i].cpu_s["redis"] for i in missed) / sum(requests[i] for i in missed)
    return ServiceTimes(
        hit_request_s=float(hit_s),
        forward_request_s=float(forward_s),
        text_s=float(text_s),
        batch_s=float(batch_s),
        predict_request_s=float(predict_s),
        char_s=float(char_s),
        redis_forward_s=float(redis_s),
        source=source,
    )


def generator_seconds(observed: list[Observation]) -> float:
    """Give the load generator's CPU seconds per request, its start apart."""
    counts = [(1.0, each.result["requests"]["count"]) for each in observed]
    return float(fit_costs(counts, [each.cpu_s["k6"] for each in observed])[1])


def effective_threads(times: ServiceTimes, observed: list[Observation], *, threads: int) -> float:
    """Give the cores that inference really uses: CPU time over clock time of three more texts in one request."""
    one_s = median_s(observed, "one client, misses")
    four_s = median_s(observed, "one client, misses of 4 texts")
    more_s = 3 * mean_chars() * times.char_s
    return min(float(threads), max(1.0, more_s / max(four_s - one_s, 1e-9)))


def with_hops(times: ServiceTimes, observed: list[Observation], *, threads: float) -> ServiceTimes:
    """Add what an idle stack's answers wait beside the work: sockets, wake-ups, the generator's own part."""
    hit_s = median_s(observed, "one client, hits")
    miss_s = median_s(observed, "one client, misses")
    work_s = times.with_threads(threads).batch_of(requests=1, chars=round(mean_chars()))
    return dataclasses.replace(
        times,
        hop_s=max(0.0, hit_s - times.transformer_s(texts=1, forwarded=False)),
        forward_hop_s=max(0.0, miss_s - hit_s - times.forward_request_s - work_s),
    )


def median_s(observed: list[Observation], name: str) -> float:
    """Give the median latency of a phase in seconds."""
    index = next(index for index, phase in enumerate(PHASES) if phase.name == name)
    return float(observed[index].result["latency"]["all"]["p50_ms"]) / 1000


def calibrate(stack: Stack, *, threads: int, phase_s: float, source: str) -> dict[str, Any]:
    """Measure a stack that just started; give service times, the generator's cost, observations, machine and model."""
    machine = machine_facts()
    first_batches = sizes.first_batches(sizes.asking(stack.predictor_urls[0]))
    observed = observe(stack, phase_s=phase_s)
    work = service_times(observed, source=source)
    parallel = effective_threads(work, observed, threads=threads)
    times = dataclasses.replace(with_hops(work, observed, threads=parallel), size_s=sizes.size_s(first_batches))
    phases = [
        {
            "phase": phase.name,
            "requests": each.result["requests"]["count"],
            "texts": each.result["texts"]["count"],
            "batches": each.batches,
            "p50_ms": each.result["latency"]["all"]["p50_ms"],
            **{f"{name}_cpu_s": round(used, 3) for name, used in each.cpu_s.items()},
        }
        for phase, each in zip(PHASES, observed, strict=True)
    ]
    return {
        "service_times": dataclasses.asdict(times),
        "generator_s": generator_seconds(observed),
        "threads": threads,
        "effective_threads": parallel,
        "phases": phases,
        "first_batches": [each._asdict() for each in first_batches],
        "machine": {**machine, **model_facts(stack.url, {})},
    }
