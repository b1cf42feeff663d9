"""Command-line options that describe service times, prices, load and autoscaling."""

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from load.capacity.cost import NODES, Prices
from load.capacity.kpa import KpaSettings
from load.capacity.revision import PodSettings
from load.capacity.route import Hops
from load.capacity.route import hops_of as measured_hops
from load.capacity.service import ServiceTimes
from load.capacity.simulate import Scenario, StageSettings
from load.capacity.workload import Mix, Rate, constant, read_trace, stages

_REPORTS = Path(__file__).parents[1] / "reports"
TIMES = _REPORTS / "service_times.json"
ROUTE = _REPORTS / "route" / "route.json"
PROFILES = ("constant", "ramp", "spike", "seed", "trace")


def add_times_options(parser: argparse.ArgumentParser) -> None:
    """Add where service times come from and what hardware costs."""
    parser.add_argument("--times", type=Path, default=TIMES, help="file that calibrate wrote")
    parser.add_argument("--speed", type=float, default=1.0, help="target core's speed over the measured one's")
    parser.add_argument("--threads", type=float, help="cores that a predictor pod infers on; default: as measured")
    parser.add_argument("--node", choices=sorted(NODES), default="D4ads_v6")
    parser.add_argument("--transformer-vcpus", type=float, default=1.1)
    parser.add_argument("--predictor-vcpus", type=float, default=2.1)
    parser.add_argument("--redis-per-hour", type=float, default=0.0, help="dollars an hour for Redis")


def add_hops_options(parser: argparse.ArgumentParser) -> None:
    """Add what the hops of a cluster's route cost."""
    parser.add_argument("--route", type=Path, default=ROUTE, help="file that route wrote")
    for hop in ("gateway", "queue-proxy", "activator"):
        parser.add_argument(f"--{hop}-s", type=float, help="seconds of one pass; default: as in --route")


def add_load_options(parser: argparse.ArgumentParser) -> None:
    """Add what is asked and how both stages scale."""
    parser.add_argument("--profile", choices=PROFILES, default="spike")
    parser.add_argument("--trace", type=Path, help="CSV second,requests_per_s (profile trace)")
    parser.add_argument("--rate", type=float, default=50.0, help="requests/s at the start")
    parser.add_argument("--peak", type=float, default=400.0, help="requests/s at the top (ramp, spike)")
    parser.add_argument("--duration-s", type=float, default=600.0)
    parser.add_argument("--hit-share", type=float, default=0.95)
    parser.add_argument("--hot", type=int, default=100, help="texts that the hits ask for")
    parser.add_argument("--size", type=int, default=1, help="texts per request")
    parser.add_argument("--zipf-texts", type=int, default=0, help="draw texts by Zipf popularity instead")
    parser.add_argument("--zipf-exponent", type=float, default=1.0)
    parser.add_argument("--cold", action="store_true", help="start with an empty cache")
    parser.add_argument("--no-shared-cache", action="store_true", help="no Redis: each transformer has its own")
    parser.add_argument("--rollout-s", type=float, nargs="*", default=[], help="times of new model versions")
    parser.add_argument("--scale-target", type=float, default=4.0, help="predictor: concurrent requests a pod")
    parser.add_argument("--transformer-target", type=float, default=30.0)
    parser.add_argument("--min-replicas", type=int, default=1, help="of the predictor")
    parser.add_argument("--max-replicas", type=int, default=6, help="of either")
    parser.add_argument("--burst-capacity", type=float, default=211.0, help="Knative's target-burst-capacity")
    parser.add_argument("--container-concurrency", type=int, default=0, help="of the predictor")
    parser.add_argument("--scale-down-delay-s", type=float, default=0.0)
    parser.add_argument("--cold-start-s", type=float, default=6.0, help="predictor pod until ready")
    parser.add_argument("--local", action="store_true", help="leave out the cluster's gateway and proxies")
    parser.add_argument("--seed", type=int, default=255)
    add_hops_options(parser)


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add which service of which cluster is loaded."""
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--namespace", default="sentiment")
    parser.add_argument("--service", default="sentiment")
    parser.add_argument("--url", default="http://127.0.0.1", help="the gateway's address")
    parser.add_argument("--host", default="", help="the name by which the gateway knows the service")


def add_spike_options(parser: argparse.ArgumentParser) -> None:
    """Add the spike that the real autoscaler is asked to follow."""
    parser.add_argument("--recording", type=Path, help="of an earlier run; without it the cluster is loaded")
    parser.add_argument("--rate", type=float, default=20.0, help="requests/s before and after the spike")
    parser.add_argument("--peak", type=float, default=200.0, help="requests/s in it")
    parser.add_argument("--duration-s", type=float, default=240.0, help="of the load; half of it is the spike")
    parser.add_argument("--hit-share", type=float, default=0.1)
    parser.add_argument("--most-s", type=float, default=600.0, help="to wait for scale-down after the load")


def times_of(options: argparse.Namespace) -> ServiceTimes:
    """Read the service times, scaled to the target's speed and threads."""
    measured = json.loads(options.times.read_text(encoding="utf-8"))
    threads = options.threads or measured.get("effective_threads", 1.0)
    if options.speed <= 0 or threads <= 0:
        raise ValueError("--speed and --threads must be above 0")
    times = ServiceTimes(**measured["service_times"])
    fields = {
        field.name: getattr(times, field.name) / options.speed
        for field in dataclasses.fields(times)
        if field.name.endswith("_s") and field.name not in {"hop_s", "forward_hop_s"}
    }
    return dataclasses.replace(times, **fields).with_threads(threads)


def hops_of(options: argparse.Namespace) -> Hops:
    """Read what the hops cost; an option wins over the file."""
    given = {field.name: getattr(options, field.name) for field in dataclasses.fields(Hops)}
    measured = measured_hops(json.loads(options.route.read_text(encoding="utf-8")))
    return dataclasses.replace(measured, **{name: value for name, value in given.items() if value is not None})


def prices_of(options: argparse.Namespace) -> Prices:
    """Give prices for the chosen node."""
    return Prices(
        node=NODES[options.node],
        transformer_vcpus=options.transformer_vcpus,
        predictor_vcpus=options.predictor_vcpus,
        redis_dollars_per_hour=options.redis_per_hour,
    )


def seed_clients(duration_s: float) -> Callable[[float], int]:
    """Give the seed's number of clients over time, its 10.5 minutes stretched to ``duration_s``."""
    scale = duration_s / 630
    clients = stages([(0, 1), (30 * scale, 10), (450 * scale, 10), (630 * scale, 0)])
    return lambda at_s: round(clients(at_s))


def rate_of(options: argparse.Namespace) -> tuple[Rate | None, float]:
    """Give the rate over time and the length; no rate for the closed loop of the seed."""
    length_s, rate, peak = options.duration_s, options.rate, options.peak
    if options.profile == "trace":
        if options.trace is None:
            raise ValueError("--profile trace needs --trace FILE")
        return read_trace(options.trace)
    if options.profile == "seed":
        return None, length_s
    if options.profile == "constant":
        return constant(rate), length_s
    if options.profile == "ramp":
        return stages([(0, rate), (length_s * 0.6, peak), (length_s * 0.8, peak), (length_s, rate)]), length_s
    jump_s = length_s / 4
    back_s = length_s * 3 / 4
    return stages([(0, rate), (jump_s, rate), (jump_s + 1, peak), (back_s, peak), (back_s + 1, rate)]), length_s


def scenario_of(options: argparse.Namespace) -> Scenario:
    """Give the scenario that the options describe."""
    rate, length_s = rate_of(options)
    hops = Hops() if options.local else hops_of(options)
    in_front = {"queue_proxy_s": hops.queue_proxy_s, "activator_s": hops.activator_s}
    predictor = KpaSettings(
        target=options.scale_target,
        min_scale=options.min_replicas,
        max_scale=options.max_replicas,
        initial_scale=max(1, options.min_replicas),
        container_concurrency=options.container_concurrency,
        target_burst_capacity=options.burst_capacity,
        scale_down_delay_s=options.scale_down_delay_s,
    )
    transformer = KpaSettings(
        target=options.transformer_target,
        max_scale=options.max_replicas,
        target_burst_capacity=options.burst_capacity,
        scale_down_delay_s=options.scale_down_delay_s,
    )
    return Scenario(
        times=times_of(options),
        duration_s=length_s,
        rate=rate,
        clients=seed_clients(length_s) if options.profile == "seed" else None,
        mix=Mix(
            hit_share=options.hit_share,
            hot=options.hot,
            size=options.size,
            zipf_texts=options.zipf_texts,
            zipf_exponent=options.zipf_exponent,
        ),
        transformer=StageSettings(kpa=transformer, pod=PodSettings(cold_start_s=5.0, **in_front)),
        predictor=StageSettings(
            kpa=predictor,
            pod=PodSettings(cold_start_s=options.cold_start_s, **in_front),
            initial_pods=options.min_replicas,
        ),
        shared_cache=not options.no_shared_cache,
        warm=not options.cold,
        rollouts_s=tuple(options.rollout_s),
        hop_s=hops.gateway_s,
        forward_hop_s=hops.gateway_s,
        seed=options.seed,
    )
