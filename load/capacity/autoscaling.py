"""The simulator held against a real KPA: one spike, its pods over time on the cluster and as foretold."""

import dataclasses
import json
import time
from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from load.capacity.drive import k6_result
from load.capacity.kpa import Autoscaler, KpaSettings
from load.capacity.observed import Look, Revisions, Watch
from load.capacity.revision import TICK_S, PodSettings
from load.capacity.route import Hops
from load.capacity.service import ServiceTimes
from load.capacity.simulate import Scenario, StageSettings, simulate
from load.capacity.timeline import Timeline
from load.capacity.workload import Mix, stages
from load.report import ms, table

CALM_S = 30
Course = list[tuple[float, int]]
"""Ready pods from each second on."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Spike:
    """The load: ``rate`` requests a second, ``peak`` for the half of ``duration_s`` in the middle."""

    rate: float
    peak: float
    duration_s: float
    hit_share: float

    def settings(self) -> dict[str, float]:
        """Give the settings of k6's spike scenario; whatever fails is counted, not refused."""
        return {
            "RATE": self.rate, "PEAK_FACTOR": self.peak / self.rate, "DURATION_S": self.duration_s,
            "HIT_RATE": self.hit_share, "MAX_FAILED": 1,
        }  # fmt: skip

    def points(self) -> list[tuple[float, float]]:
        """Give (second, requests a second) from the start of k6's spike scenario, and its end."""
        quarter = max(1, round(self.duration_s / 4))
        down = 3 * quarter + 1
        ends = 4 * quarter + 2
        return [
            (0, self.rate), (quarter, self.rate), (quarter + 1, self.peak), (down, self.peak),
            (down + 1, self.rate), (ends, self.rate), (ends + 0.001, 0.0),
        ]  # fmt: skip


def record(revisions: Revisions, spike: Spike, *, url: str, host: str, most_s: float) -> dict[str, Any]:
    """Load the service and watch it, until it has the pods again that it had before; plain values for JSON.

    Args:
        revisions: of the service.
        spike: the load.
        url: the gateway's address.
        host: the name that the gateway knows the service by.
        most_s: how long to wait for scale-down once the load is over.
    """
    settings = {name: dataclasses.asdict(revisions.settings(name)) for name in revisions.names}
    cpus = {name: revisions.cpu_limit(name) for name in revisions.names}
    with Watch(revisions) as watch:
        time.sleep(CALM_S)
        start_s = watch.now_s
        result = k6_result("spike", {"URL": url, "HOST": host, "INSECURE": "true", **spike.settings()})
        deadline_s = watch.now_s + most_s
        while watch.looks[-1].ready["predictor"] > watch.looks[0].ready["predictor"] and watch.now_s < deadline_s:
            time.sleep(1)
        time.sleep(5)
    return {
        "spike": dataclasses.asdict(spike),
        "kpa": settings,
        "cpu_limit": cpus,
        "cold_starts_s": watch.cold_starts_s,
        "looks": [{**dataclasses.asdict(look), "at_s": round(look.at_s - start_s, 1)} for look in watch.looks],
        "latency": result["latency"],
        "requests": result["requests"],
        "machine": result["machine"],
    }


def looks_of(recording: dict[str, Any]) -> list[Look]:
    """Read the looks of a recording; second 0 is the load's first."""
    return [Look(**each) for each in recording["looks"]]


def foretell(recording: dict[str, Any], times: ServiceTimes, hops: Hops, *, seed: int = 255) -> Timeline:
    """Simulate what was recorded: the same load, settings and pods; cold starts as long as those that were seen."""
    spike, looks = Spike(**recording["spike"]), looks_of(recording)
    lead_s = -looks[0].at_s
    last_s = looks[-1].at_s + lead_s

    def stage(name: str) -> StageSettings:
        starts = recording["cold_starts_s"][name]
        cold = {"cold_start_s": median(starts)} if starts else {}
        return StageSettings(
            kpa=KpaSettings(**recording["kpa"][name]),
            pod=PodSettings(queue_proxy_s=hops.queue_proxy_s, activator_s=hops.activator_s, **cold),
            initial_pods=looks[0].ready[name],
            cpu_quota=min(1.0, recording["cpu_limit"][name]),
        )

    return simulate(
        Scenario(
            times=times,
            duration_s=last_s,
            rate=stages([(0, 0.0), (lead_s - 0.001, 0.0), *((at_s + lead_s, rate) for at_s, rate in spike.points())]),
            mix=Mix(hit_share=spike.hit_share),
            transformer=stage("transformer"),
            predictor=stage("predictor"),
            hop_s=hops.gateway_s,
            forward_hop_s=hops.gateway_s,
            seed=seed,
        )
    )


def course_of(looks: Sequence[Look], component: str = "predictor") -> Course:
    """Give a component's ready pods over time, as recorded."""
    return [(look.at_s, look.ready[component]) for look in looks]


def foretold_course(timeline: Timeline, *, lead_s: float) -> Course:
    """Give the predictor's ready pods over time, as simulated; second 0 is the load's first."""
    return [(at_s - lead_s, predictor) for at_s, _, predictor, _ in timeline.pods]


def decided_course(recording: dict[str, Any]) -> Course:
    """Give the predictors that this project's arithmetic wants, decision by decision, from what the real KPA saw."""
    looks = looks_of(recording)
    settings = KpaSettings(**recording["kpa"]["predictor"])
    autoscaler = Autoscaler(settings=settings, ready_pods=looks[0].ready["predictor"], now_s=looks[0].at_s)
    course: Course = []
    for look in looks:
        if look.stable is None or look.panic is None or (course and look.at_s - course[-1][0] < TICK_S):
            continue
        ready = look.ready["predictor"]
        decision = autoscaler.decide(now_s=look.at_s, ready_pods=ready, stable=look.stable, panic=look.panic)
        course.append((look.at_s, decision.desired))
    return course


def pods_at(course: Course, at_s: float) -> int:
    """Give the pods of a course at a second; those of its first look before it."""
    return next((pods for since_s, pods in reversed(course) if since_s <= at_s), course[0][1])


def milestones(course: Course, *, jump_s: float, end_s: float) -> dict[str, float | None]:
    """Say when pods came and went: seconds after the jump, and after the load's end; None for what never happened."""
    before = pods_at(course, jump_s)
    most = max(pods for _, pods in course)
    first = next((at_s for at_s, pods in course if at_s >= jump_s and pods > before), None)
    full = next((at_s for at_s, pods in course if pods == most), None) if most > before else None
    back = next((at_s for at_s, pods in course if full is not None and at_s > full and pods <= before), None)
    return {
        "pods before": before,
        "most pods": most,
        "first more, s after the jump": None if first is None else round(first - jump_s),
        "most, s after the jump": None if full is None else round(full - jump_s),
        "as before, s after the peak's end": None if back is None else round(back - end_s),
        "mean pods": round(mean(pods_at(course, second) for second in range(round(course[-1][0]))), 2),
    }


def off_by(real: Course, foretold: Course) -> float:
    """Give by how many pods the two courses differ, as a mean over all seconds of the real one."""
    return mean(abs(pods_at(real, at_s) - pods_at(foretold, at_s)) for at_s, _ in real)


def page(recording: dict[str, Any], timeline: Timeline, *, plot: str) -> str:
    """Write the comparison in Markdown."""
    spike, looks = Spike(**recording["spike"]), looks_of(recording)
    real, foretold = course_of(looks), foretold_course(timeline, lead_s=-looks[0].at_s)
    (jump_s, _), (down_s, _) = spike.points()[1], spike.points()[3]
    columns = [milestones(course, jump_s=jump_s, end_s=down_s) for course in (real, foretold)]
    rows = [[name, *("-" if each[name] is None else f"{each[name]:g}" for each in columns)] for name in columns[0]]
    latency = timeline.latency()
    measured = recording["latency"]["all"]
    rows += [[name.replace("_", " "), ms(measured[name]), ms(getattr(latency, name))] for name in ("p50_ms", "p99_ms")]
    concurrency = [look.panic for look in looks if look.panic is not None]
    rows.append(
        ["most requests at once, mean of a panic window", f"{max(concurrency):.1f}" if concurrency else "-", "-"]
    )
    rows.append(["failed", f"{recording['requests']['failed_share']:.2%}", f"{timeline.lost_share:.2%}"])
    kpa = recording["kpa"]["predictor"]
    return "\n".join(
        [
            "# Autoscaling: the real KPA and the simulator",
            "",
            f"Load through the gateway: {spike.rate:g} requests/s, {spike.peak:g} from second {jump_s} to {down_s},",
            f"{spike.hit_share:.0%} hits. Predictor pods of {recording['cpu_limit']['predictor']:g} CPUs,",
            f"target {kpa['target']:g} ({kpa['metric']}), containerConcurrency {kpa['container_concurrency']},",
            f"{kpa['min_scale']} to {kpa['max_scale']} pods, stable window {kpa['stable_window_s']:g} s,",
            f"scale-down delay {kpa['scale_down_delay_s']:g} s, as the cluster has it. {_starts_of(recording)}",
            "",
            table(["predictor", "real", "simulated"], rows),
            "",
            f"The two courses differ by {off_by(real, foretold):.2f} pods in the mean. {_arithmetic_of(recording)}",
            "",
            f"![pods over time]({plot})",
            "",
            f"Machine: `{json.dumps(recording['machine'])}`",
            "",
        ]
    )


def _starts_of(recording: dict[str, Any]) -> str:
    starts = recording["cold_starts_s"]["predictor"]
    if not starts:
        return "No pod was made."
    return f"A new pod was ready after {median(starts):g} s (median of {len(starts)})."


def _arithmetic_of(recording: dict[str, Any]) -> str:
    decided = decided_course(recording)
    if not decided:
        return "What the KPA worked with was not recorded."
    wanted = [(look.at_s, look.wanted["predictor"]) for look in looks_of(recording)]
    differ = off_by(decided, wanted)
    return f"From the concurrency that the real KPA saw, our arithmetic wants the same within {differ:.2f} pods."
