"""Plots of the capacity plan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from load.capacity.timeline import Timeline
from load.plots import COLORS, new_figure, save


def plot_timeline(timeline: Timeline, path: Path, *, title: str, count: int = 60) -> Path:
    """Draw a simulation over time: demand, pods, latency, lost requests."""
    slices = timeline.slices(count)
    length_s = timeline.duration_s / count
    starts = [each.start_s for each in slices]
    figure = new_figure(rows=3, height_in=2.1)
    demand, pods, latency = figure.axes
    demand.set_title(title)
    demand.plot(starts, [each.arrived / length_s for each in slices], color=COLORS["rate"], label="arrivals/s")
    demand.plot(starts, [each.failed / length_s for each in slices], color=COLORS["p99"], label="refused/s")
    demand.set_ylabel("requests/s")
    demand.set_ylim(bottom=0)
    demand.legend()
    pods.step(
        starts, [each.transformer_pods for each in slices], where="post", color=COLORS["p50"], label="transformer"
    )
    pods.step(starts, [each.predictor_pods for each in slices], where="post", color=COLORS["p95"], label="predictor")
    pods.set_ylabel("ready pods")
    pods.set_ylim(
        0, 1.4 * max(max(each.transformer_pods, each.predictor_pods) for each in slices)
    )  # room for the legend
    pods.yaxis.set_major_locator(MaxNLocator(integer=True))
    pods.legend(loc="upper center", ncols=2)
    for name in ("p50", "p99"):
        points = [getattr(each.latency, f"{name}_ms") for each in slices]
        latency.plot(starts, points, color=COLORS[name], label=name)
    latency.set_yscale("log")
    latency.set_ylabel("ms")
    latency.set_xlabel("seconds")
    latency.legend()
    return save(figure, path)


def plot_autoscaling(
    rate: Sequence[tuple[float, float]],
    wanted: Sequence[tuple[float, int]],
    decided: Sequence[tuple[float, int]],
    real: Sequence[tuple[float, int]],
    foretold: Sequence[tuple[float, int]],
    path: Path,
) -> Path:
    """Draw the load, and below it predictor pods over time.

    Args:
        rate: requests a second.
        wanted: by the real KPA.
        decided: by this project's arithmetic, from the concurrency that the real one saw.
        real: ready pods.
        foretold: ready pods of the simulation.
        path: where to.
    """
    figure = new_figure(rows=2, height_in=2.3)
    demand, pods = figure.axes
    demand.set_title("The real KPA and the simulator")
    demand.plot(*zip(*rate, strict=True), color=COLORS["rate"], label="load")
    demand.set_ylabel("requests/s")
    demand.set_ylim(bottom=0)
    demand.set_xlim(min(at_s for at_s, _ in real), max(at_s for at_s, _ in real))
    pods.sharex(demand)
    for course, color, style, label in (
        (wanted, "#555", ":", "wanted by the KPA"),
        (decided, COLORS["p95"], "-.", "wanted by our arithmetic"),
        (real, COLORS["p50"], "-", "ready"),
        (foretold, COLORS["p99"], "--", "simulated"),
    ):
        if course:
            pods.step(*zip(*course, strict=True), where="post", color=color, linestyle=style, label=label)
    pods.set_ylabel("predictor pods")
    pods.set_xlabel("seconds from the load's start")
    pods.set_ylim(0, 1.4 * max(count for course in (wanted, real, foretold) for _, count in course))
    pods.yaxis.set_major_locator(MaxNLocator(integer=True))
    pods.legend(loc="upper center", ncols=4)
    return save(figure, path)


def plot_curve(points: Sequence[dict[str, Any]], checks: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw capacity and cost over the miss share; measured points of the shared machine beside the predicted."""
    figure = new_figure(rows=2, height_in=2.8)
    capacity, cost = figure.axes
    shares = [point["hit_share"] * 100 for point in points]
    capacity.set_title("Capacity and cost by the share of requests that hit the cache")
    for name, label in (("transformer_per_s", "one transformer pod"), ("predictor_per_s", "one predictor pod")):
        capacity.plot(shares, [point[name] for point in points], marker=".", label=label)
    if checks:
        at = [check["hit_share"] * 100 for check in checks]
        capacity.plot(
            at,
            [check["capacity_per_s"]["predicted"] for check in checks],
            color="#777",
            linestyle="--",
            label="whole stack and k6 on one machine, predicted",
        )
        capacity.scatter(
            at, [check["capacity_per_s"]["measured"] for check in checks], color="#111", zorder=3, label="... measured"
        )
    capacity.set_yscale("log")
    capacity.set_ylabel("requests/s")
    capacity.legend(loc="center left")
    cost.plot(shares, [point["dollars_per_million"] for point in points], marker=".", color=COLORS["p99"])
    cost.set_ylabel("$ per million requests")
    cost.set_xlabel("hits, % of requests")
    cost.set_ylim(bottom=0)
    return save(figure, path)


def plot_validation(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw predicted over measured percentiles of the throttled predictors; the diagonal is a perfect prediction."""
    figure = new_figure(width_in=5.0, height_in=4.4)
    axes = figure.axes[0]
    highest = 0.0
    for name in ("p50", "p95", "p99"):
        pairs = [row["latency"][f"{name}_ms"] for row in rows]
        measured, predicted = [pair["measured"] for pair in pairs], [pair["predicted"] for pair in pairs]
        axes.scatter(measured, predicted, color=COLORS[name], label=name)
        highest = max(highest, *measured, *predicted)
    axes.plot([1, highest], [1, highest], color="#777", linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("measured, ms")
    axes.set_ylabel("predicted, ms")
    axes.set_title("Throttled predictors: 1, 2 and 4 pods")
    axes.legend()
    return save(figure, path)
