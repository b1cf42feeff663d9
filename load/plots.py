"""Plots of results as SVG files that differ only when the numbers do."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from load.results import Result

COLORS = {"p50": "#2a78b8", "p95": "#d98b1f", "p99": "#b8322a", "rate": "#2f8f5b", "hits": "#6a4fa3"}
STYLE: Any = {
    "svg.hashsalt": "load",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


def new_figure(*, width_in: float = 8.0, height_in: float = 3.2, rows: int = 1) -> Figure:
    """Make an empty figure in the report's style."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width_in, height_in * rows), constrained_layout=True)
        figure.subplots(rows, 1)
    return figure


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as SVG without a date; give the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        figure.savefig(path, format="svg", metadata={"Date": None})
    return path


def plot_latency(results: Sequence[Result], path: Path) -> Path:
    """Draw p50, p95 and p99 of every run by cache outcome, logarithmic."""
    names, values = [], []
    for result in results:
        for outcome in ("hit", "partial", "miss"):
            latency = result["latency"][outcome]
            if latency:
                names.append(f"{result['scenario']}\n{outcome}")
                values.append([latency[key] for key in ("p50_ms", "p95_ms", "p99_ms")])
    figure = new_figure(width_in=max(6.0, 1.0 + 0.75 * len(names)))
    axes = figure.axes[0]
    for position, name in enumerate(("p50", "p95", "p99")):
        places = [place + 0.27 * (position - 1) for place in range(len(names))]
        axes.bar(places, [value[position] for value in values], width=0.25, color=COLORS[name], label=name)
    if values:
        axes.set_yscale("log")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylabel("ms")
    axes.set_title("Latency by cache outcome")
    axes.legend()
    return save(figure, path)


def plot_over_time(result: Result, path: Path) -> Path:
    """Draw a run's latency, and its rate and hits, over time."""
    figure = new_figure(rows=2, height_in=2.4)
    latency, rate = figure.axes
    windows = result["windows"]
    starts = [window["start_s"] for window in windows]
    for name in ("p50", "p95", "p99"):
        points = [window["latency"][f"{name}_ms"] if window["latency"] else None for window in windows]
        latency.plot(starts, points, color=COLORS[name], label=name)  # type: ignore[arg-type]  # None breaks the line
    latency.set_ylabel("ms")
    latency.set_title(f"{result['scenario']}, {result['finished_at'][:16].replace('T', ' ')} UTC")
    latency.legend()
    rates = [window["requests"] / window["length_s"] for window in windows]
    rate.plot(starts, rates, color=COLORS["rate"], label="requests/s")
    rate.set_ylim(bottom=0)
    rate.set_ylabel("requests/s")
    rate.set_xlabel("seconds")
    hits = rate.twinx()
    shares = [None if window["hit_share"] is None else window["hit_share"] * 100 for window in windows]
    hits.plot(starts, shares, color=COLORS["hits"], linestyle="--", label="hits")  # type: ignore[arg-type]
    hits.set_ylim(0, 105)
    hits.set_ylabel("hits, %")
    hits.grid(visible=False)
    return save(figure, path)
