"""The capacity plan's pages in Markdown."""

from collections.abc import Sequence
from typing import Any

from load.capacity.cost import Prices
from load.capacity.recommend import Candidate, cost_per_million, dollars_per_hour, monthly
from load.capacity.timeline import Timeline
from load.report import ms, percent, table


def signed(error: float) -> str:
    """Write a relative error with its sign."""
    return f"{error * 100:+.0f} %"


def rate(value: float | None) -> str:
    """Write a rate a second; a dash for one without limit."""
    return "-" if value is None else f"{value:.0f}"


def curve_page(points: Sequence[dict[str, Any]], prices: Prices, *, utilization: float, plot: str) -> str:
    """Write the hit-ratio curve."""
    rows = [
        [
            percent(point["hit_share"]),
            rate(point["transformer_per_s"]),
            rate(point["predictor_per_s"]),
            point["limit"],
            f"{point['predictors_per_transformer']:.2f}",
            ms(point["p99_ms"]),
            f"{point['dollars_per_million']:.3f}",
        ]
        for point in points
    ]
    head = ["hits", "transformer pod req/s", "predictor pod req/s", "limit", "predictors per transformer"]
    return "\n".join(
        [
            "# Hit-ratio curve",
            "",
            table([*head, "p99 ms", "$ per million"], rows),
            "",
            f"Single-text requests. p99 at {utilization:.0%} of the weaker pod's capacity, one pod each. Cost at the",
            (
                f"same utilisation of pods balanced for that hit share, on {prices.node.name}: "
                f"{prices.transformer_vcpus} vCPU a transformer, {prices.predictor_vcpus} a predictor with sidecars, "
                f"${prices.node.dollars_per_vcpu_hour:.4f} per vCPU-hour, {prices.packing:.0%} of a node reservable."
            ),
            "",
            f"![curve]({plot})",
            "",
        ]
    )


def curve_checks(checks: Sequence[dict[str, Any]]) -> str:
    """Write the curve's check against measurements."""
    capacity = [
        [
            percent(check["hit_share"]),
            rate(check["capacity_per_s"]["measured"]),
            rate(check["capacity_per_s"]["predicted"]),
            signed(check["capacity_per_s"]["error"]),
            rate(check["rate_per_s"]),
            *(
                f"{ms(check['latency'][name]['measured'])} / {ms(check['latency'][name]['predicted'])}"
                for name in ("p50_ms", "p95_ms", "p99_ms")
            ),
        ]
        for check in checks
    ]
    head = ["hits", "most req/s, measured", "predicted", "error", "then at req/s"]
    return table([*head, "p50 ms, measured / predicted", "p95", "p99"], capacity)


def validation_table(rows: Sequence[dict[str, Any]]) -> str:
    """Write predictions against throttled predictors."""
    cells = []
    for row in rows:
        latency = row["latency"]
        cells.append(
            [
                str(row["pods"]),
                f"{row['utilization']:.0%}",
                f"{row['rate_per_s']:.1f}",
                str(row["requests"]),
                *(
                    f"{ms(latency[name]['measured'])} / {ms(latency[name]['predicted'])} "
                    f"({signed(latency[name]['error'])})"
                    for name in ("p50_ms", "p95_ms", "p99_ms")
                ),
            ]
        )
    head = ["pods", "utilisation", "req/s", "requests", "p50 ms, measured / predicted", "p95", "p99"]
    return table(head, cells)


def simulation_page(timeline: Timeline, prices: Prices, *, title: str, plot: str, slices: int = 21) -> str:
    """Write a simulation: totals, then its course."""
    latency = timeline.latency()
    transformers, predictors = timeline.most_pods()
    hourly = dollars_per_hour(timeline, prices)
    length_s = timeline.duration_s / slices
    rows = [
        [
            f"{each.start_s:.0f}",
            f"{each.arrived / length_s:.1f}",
            str(each.transformer_pods),
            f"{each.predictor_pods}{' panic' if each.panicking else ''}",
            percent(each.hits / each.latency.count if each.latency.count else None),
            ms(each.latency.p50_ms),
            ms(each.latency.p99_ms),
            str(each.failed),
        ]
        for each in timeline.slices(slices)
    ]
    head = ["second", "arrivals/s", "transformers", "predictors", "hits", "p50 ms", "p99 ms", "refused"]
    return "\n".join(
        [
            f"# {title}",
            "",
            (
                f"- {timeline.requests} requests in {timeline.duration_s:.0f} s, {percent(timeline.hit_share())} hits, "
                f"{timeline.failed} refused, {timeline.unfinished} unanswered at the end"
            ),
            (
                f"- latency p50 {ms(latency.p50_ms)}, p95 {ms(latency.p95_ms)}, p99 {ms(latency.p99_ms)} ms; "
                f"misses p99 {ms(timeline.latency('miss', 'partial').p99_ms)} ms"
            ),
            (
                f"- at most {transformers} transformers and {predictors} predictors; mean "
                f"{timeline.transformer_pod_s / timeline.duration_s:.2f} and "
                f"{timeline.predictor_pod_s / timeline.duration_s:.2f}"
            ),
            (
                f"- ${hourly:.3f} an hour on {prices.node.name}, ${cost_per_million(timeline, prices):.3f} per million "
                "requests at this load"
            ),
            "",
            table(head, rows),
            "",
            f"![{title}]({plot})",
            "",
        ]
    )


def advice_page(tried: Sequence[Candidate], chosen: Candidate | None, *, p99_ms: float, lost_share: float) -> str:
    """Write what was tried and what is recommended."""
    rows = [
        [
            f"{each.scale_target:g}",
            str(each.min_replicas),
            f"{each.target_burst_capacity:g}",
            ms(each.p50_ms),
            ms(each.p99_ms),
            percent(each.lost_share),
            str(each.most_predictors),
            f"{each.dollars_per_hour:.3f}",
            "yes" if each.holds else "no",
        ]
        for each in tried
    ]
    head = ["scaleTarget", "minReplicas", "TBC", "p50 ms", "p99 ms", "lost", "most pods", "$/h", "keeps the SLO"]
    if chosen is None:
        verdict = "No combination keeps the SLO: raise maxReplicas, shorten the cold start, or relax the SLO."
    else:
        verdict = (
            f"Recommended for the predictor: scaleTarget {chosen.scale_target:g}, minReplicas {chosen.min_replicas}, "
            f"target-burst-capacity {chosen.target_burst_capacity:g} (p99 {ms(chosen.p99_ms)} ms, "
            f"${chosen.dollars_per_hour:.3f} an hour, ${monthly(chosen.dollars_per_hour):.0f} a month)."
        )
    return "\n".join(
        [
            "# Autoscaling advice",
            "",
            f"SLO: p99 at most {p99_ms:g} ms, at most {percent(lost_share)} lost. {verdict}",
            "",
            table(head, rows),
            "",
        ]
    )
