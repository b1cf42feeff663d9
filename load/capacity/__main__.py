"""Capacity planning: ``python -m load.capacity COMMAND --help``; COMMAND is calibrate, curve, simulate and so on."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from load.capacity.autoscaling import Spike, course_of, decided_course, foretell, foretold_course, looks_of, record
from load.capacity.autoscaling import page as autoscaling_page
from load.capacity.calibrate import calibrate
from load.capacity.cli import (
    add_cluster_options,
    add_hops_options,
    add_load_options,
    add_spike_options,
    add_times_options,
    hops_of,
    prices_of,
    scenario_of,
    times_of,
)
from load.capacity.curve import HIT_SHARES, as_rows, curve
from load.capacity.observed import Revisions
from load.capacity.pages import advice_page, curve_checks, curve_page, simulation_page, validation_table
from load.capacity.plots import plot_autoscaling, plot_curve, plot_timeline, plot_validation
from load.capacity.pod_size import as_rows as pod_rows
from load.capacity.pod_size import fleets
from load.capacity.pod_size import page as pods_page
from load.capacity.recommend import Slo, as_row, best, candidates
from load.capacity.route import NO_CLUSTER, Way, measure, ways_to
from load.capacity.route import page as route_page
from load.capacity.service import ServiceTimes
from load.capacity.simulate import simulate
from load.capacity.stack import running_stack
from load.capacity.validate import check_curve, check_pods
from load.machine import cpu_model, machine_facts, usable_cpus


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain values as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(path)


def write_page(path: Path, text: str) -> None:
    """Write a page and say where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    print(path)


def run_calibrate(options: argparse.Namespace) -> None:
    """Measure service times on the local stack, and the curve's check points with them."""
    source = f"{cpu_model()}, {options.threads} inference threads, model {options.model_name or 'shipped'}"
    with running_stack(model_dir=options.model_dir, threads=options.threads) as stack:
        found = calibrate(stack, threads=options.threads, phase_s=options.phase_s, source=source)
        write_json(options.out, found)
        if options.check:
            found["checks"] = check_curve(
                stack,
                ServiceTimes(**found["service_times"]),
                threads=found["effective_threads"],
                cpus=usable_cpus(),
                generator_s=found["generator_s"],
                hit_shares=HIT_SHARES,
                clients=options.clients,
                duration_s=options.check_s,
            )
            write_json(options.out, found)
            print(curve_checks(found["checks"]))


def run_curve(options: argparse.Namespace) -> None:
    """Compute the hit-ratio curve."""
    times, prices = times_of(options), prices_of(options)
    points = as_rows(curve(times, prices=prices, utilization=options.utilization, simulated_requests=options.requests))
    checks = json.loads(options.times.read_text()).get("checks", [])
    plot = plot_curve(points, checks, options.out / "curve.svg")
    text = curve_page(points, prices, utilization=options.utilization, plot=plot.name)
    if checks:
        text += f"\n## Check on one machine\n\n{curve_checks(checks)}\n"
    write_json(options.out / "curve.json", {"points": points, "prices": dataclasses.asdict(prices)})
    write_page(options.out / "curve.md", text)


def run_simulate(options: argparse.Namespace) -> None:
    """Simulate the two stages under a load."""
    scenario, prices = scenario_of(options), prices_of(options)
    timeline = simulate(scenario)
    plot = plot_timeline(timeline, options.out / f"{options.name}.svg", title=options.title or options.name)
    page = simulation_page(timeline, prices, title=options.title or options.name, plot=plot.name)
    write_json(options.out / f"{options.name}.json", timeline.summary())
    write_page(options.out / f"{options.name}.md", page)
    print(page)


def run_recommend(options: argparse.Namespace) -> None:
    """Try settings of the predictor and recommend the cheapest that keep the SLO."""
    slo = Slo(p99_ms=options.p99_ms, lost_share=options.lost_share)
    tried = []
    for candidate in candidates(scenario_of(options), slo=slo, prices=prices_of(options)):
        tried.append(candidate)
        print(f"\r{len(tried)} settings tried", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    chosen = best(tried)
    page = advice_page(tried, chosen, p99_ms=slo.p99_ms, lost_share=slo.lost_share)
    rows = [as_row(each) for each in tried]
    write_json(options.out / "advice.json", {"tried": rows, "chosen": chosen and as_row(chosen)})
    write_page(options.out / "advice.md", page)
    print(page)


def run_pods(options: argparse.Namespace) -> None:
    """Compare sizes of predictor pods by what a million requests cost at a p99."""
    options.threads = 1
    times, prices, speedup = times_of(options), prices_of(options), options.two_cpu_speedup
    tried = fleets(times, prices=prices, two_cpu_speedup=speedup, simulated_requests=options.requests)
    page = pods_page(tried, prices, two_cpu_speedup=speedup, source=times.source)
    write_json(options.out / "pods.json", {"two_cpu_speedup": speedup, "fleets": pod_rows(tried)})
    write_page(options.out / "pods.md", page)
    print(page)


def run_validate(options: argparse.Namespace) -> None:
    """Hold latency predictions against the local stack with throttled predictors."""
    with running_stack(model_dir=options.model_dir, threads=1) as stack:
        source = f"{cpu_model()}, 1 inference thread, model {options.model_name or 'shipped'}"
        found = calibrate(stack, threads=1, phase_s=options.phase_s, source=source)
    times = ServiceTimes(**found["service_times"])
    rows: list[dict[str, Any]] = []
    for pods in options.pods:
        with running_stack(model_dir=options.model_dir, threads=1, predictors=pods) as stack:
            rows += check_pods(
                stack,
                times,
                pods=pods,
                cpu_quota=options.cpu_quota,
                quota_period_s=options.quota_period_s,
                utilizations=options.utilizations,
                duration_s=options.run_s,
            )
            print(validation_table(rows))
    plot_validation(rows, options.out / "validation.svg")
    content = {"calibration": found, "cpu_quota": options.cpu_quota, "quota_period_s": options.quota_period_s}
    write_json(options.out / "validation.json", {**content, "runs": rows, "machine": machine_facts()})
    write_page(options.out / "validation.md", f"# Predictions and measurements\n\n{validation_table(rows)}\n")


def run_autoscaling(options: argparse.Namespace) -> None:
    """Hold the simulator against a cluster's KPA on one spike, or on one that was recorded before."""
    if options.recording is None:
        spike = Spike(rate=options.rate, peak=options.peak, duration_s=options.duration_s, hit_share=options.hit_share)
        revisions = Revisions(kubeconfig=options.kubeconfig, namespace=options.namespace, service=options.service)
        recording = record(revisions, spike, url=options.url, host=options.host, most_s=options.most_s)
        write_json(options.out / "recording.json", recording)
    else:
        recording = json.loads(options.recording.read_text(encoding="utf-8"))
    options.threads = 1
    looks, timeline = looks_of(recording), foretell(recording, times_of(options), hops_of(options))
    plot = plot_autoscaling(
        Spike(**recording["spike"]).points(),
        [(look.at_s, look.wanted["predictor"]) for look in looks],
        decided_course(recording),
        course_of(looks),
        foretold_course(timeline, lead_s=-looks[0].at_s),
        options.out / "autoscaling.svg",
    )
    text = autoscaling_page(recording, timeline, plot=plot.name)
    write_page(options.out / "autoscaling.md", text)
    print(text)


def run_route(options: argparse.Namespace) -> None:
    """Measure what each hop of a cluster's route costs, beside the stack without a cluster."""
    revisions = Revisions(kubeconfig=options.kubeconfig, namespace=options.namespace, service=options.service)
    pod_ip = revisions.pods("transformer")[0].status.pod_ip
    with running_stack(model_dir=options.model_dir) as stack:
        ways = [Way(name=NO_CLUSTER, url=stack.url), *ways_to(pod_ip, url=options.url, host=options.host)]
        found = measure(ways, rounds=options.rounds, round_s=options.round_s)
    write_json(options.out / "route.json", found)
    write_page(options.out / "route.md", route_page(found))
    print(route_page(found))


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    top = argparse.ArgumentParser(prog="python -m load.capacity", description=__doc__)
    commands = top.add_subparsers(required=True)

    def command(name: str, run: Any) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        sub.set_defaults(run=run)
        sub.add_argument("--out", type=Path, default=Path("results/capacity"), help="folder (calibrate: file)")
        return sub

    measured = command("calibrate", run_calibrate)
    measured.set_defaults(out=Path("results/capacity/service_times.json"))
    measured.add_argument("--check", action="store_true", help="also measure the curve's points (7 x 2 runs)")
    measured.add_argument("--check-s", type=float, default=15.0, help="seconds per check run")
    measured.add_argument("--clients", type=int, default=16, help="closed-loop clients of the check")
    measured.add_argument("--threads", type=int, default=usable_cpus(), help="inference threads")
    curved = command("curve", run_curve)
    add_times_options(curved)
    curved.add_argument("--utilization", type=float, default=0.6, help="share of capacity to plan with")
    curved.add_argument("--requests", type=int, default=40_000, help="simulated for each point's p99")
    simulated = command("simulate", run_simulate)
    add_times_options(simulated)
    add_load_options(simulated)
    simulated.add_argument("--name", default="simulation", help="file name of the results")
    simulated.add_argument("--title", default="", help="heading of the page")
    advised = command("recommend", run_recommend)
    add_times_options(advised)
    add_load_options(advised)
    advised.add_argument("--p99-ms", type=float, default=500.0)
    advised.add_argument("--lost-share", type=float, default=0.001)
    sized = command("pods", run_pods)
    add_times_options(sized)
    sized.add_argument("--two-cpu-speedup", type=float, default=1.8, help="of a forward; make bench-pods measures it")
    sized.add_argument("--requests", type=int, default=6_000, help="simulated for each size and utilisation")
    validated = command("validate", run_validate)
    validated.add_argument("--cpu-quota", type=float, default=0.2, help="share of a core per predictor")
    validated.add_argument("--quota-period-s", type=float, default=0.1)
    validated.add_argument("--pods", type=int, nargs="+", default=[1, 2, 4])
    validated.add_argument("--utilizations", type=float, nargs="+", default=[0.3, 0.5, 0.7])
    validated.add_argument("--run-s", type=float, default=40.0, help="seconds per run")
    scaled = command("autoscaling", run_autoscaling)
    add_times_options(scaled)
    add_hops_options(scaled)
    add_spike_options(scaled)
    routed = command("route", run_route)
    routed.add_argument("--rounds", type=int, default=5)
    routed.add_argument("--round-s", type=float, default=5.0)
    routed.add_argument("--model-dir", type=Path, default=None, help="of the stack without a cluster")
    for sub in (scaled, routed):
        add_cluster_options(sub)
    for sub in (measured, validated):
        sub.add_argument("--model-dir", type=Path, default=None, help="checkpoint; default: the shipped one")
        sub.add_argument("--model-name", default="", help="what to call it in the results")
        sub.add_argument("--phase-s", type=float, default=8.0, help="seconds per calibration phase")
    return top


def main() -> int:
    """Run a command; give 0, or 2 with one sentence."""
    options = parser().parse_args()
    try:
        options.run(options)
    except (OSError, ValueError, RuntimeError) as reason:
        print(reason, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
