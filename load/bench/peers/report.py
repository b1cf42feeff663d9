"""The comparison as a page and a plot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from load.bench.peers.measure import CASES, PLAIN, Measured, best_peer
from load.plots import new_figure, save

INK = {True: "#2a78b8", False: "#9aa3ab"}
PANEL_IN = 2.2


def page(measured: Measured, *, about: Mapping[str, Any]) -> str:
    """Lay the figures out as Markdown."""
    machine = about["machine"]
    lines = [
        "# Beside its peers",
        "",
        f"{machine['cpus']} CPUs ({machine['cpu']}); k6 ran on the same ones. One checkpoint of DistilBERT's",
        "base size with random weights, real sentences. Each contestant has its own environment. They took turns,",
        f"the others stopped meanwhile: {about['rounds']} rounds of {about['seconds']:g} s. Medians; ratios are",
        "medians of the rounds' own.",
        "`make bench-peers` measures it again, on your machine.",
        *_busy(machine),
        "",
        "![rates and tails of every contestant](peers.svg)",
        "",
    ]
    for key, case in CASES.items():
        best = best_peer(measured, key)
        lines += [
            f"## {case.title}",
            "",
            f"| | requests/s | texts/s | p50 ms | p99 ms | CPU ms a text | times {PLAIN} | best peer |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name in measured.runs[key]:
            cells = [f"{measured.median(key, name, each):,.1f}".replace(",", " ") for each in _COLUMNS]
            cells.append(f"{measured.median(key, name, 'cpu_ms_per_text'):.3g}")
            ratios = [f"{measured.times(key, name, other):.2f}" for other in (PLAIN, best)]
            lines.append(f"| {name} | {' | '.join([*cells, *ratios])} |")
        lines.append("")
    lines += [
        "## Contestants",
        "",
        "| | version | what | MB in memory | largest difference of a score |",
        "|---|---|---|---|---|",
    ]
    for name, difference in measured.difference.items():
        what = about["contestants"][name]
        lines.append(
            f"| {name} | {what['version']} | {what['what']} | {measured.resident_mb[name]:.0f} | {difference:.1g} |"
        )
    lines += [
        "",
        f"Differences are from {PLAIN}, over eight texts. They say that all compute the same model; how",
        "accurate a precision is, random weights cannot say.",
        "",
    ]
    return "\n".join(lines)


def _busy(machine: Mapping[str, Any]) -> list[str]:
    load = machine["load_before"]
    if load <= machine["cpus"] / 2:
        return []
    return [
        "",
        f"Other work ran on this machine meanwhile (load average {load:g} before the start): rates are lower and",
        "tails longer than on a quiet one. Everybody met the same neighbours in turn; CPU time depends on them least.",
    ]


_COLUMNS = ("requests_per_s", "texts_per_s", "p50_ms", "p99_ms")


def plot(measured: Measured, path: Path) -> Path:
    """Draw rates above tails, a panel for each case, both logarithmic."""
    figure = new_figure(width_in=9.5, height_in=0.1, rows=1)
    figure.clear()
    figure.set_size_inches(9.5, 2 * PANEL_IN)
    panels = figure.subplots(2, len(CASES), sharey=True)
    for column, (key, case) in enumerate(CASES.items()):
        names = list(measured.runs[key])[::-1]
        for row, (quantity, unit) in enumerate((("requests_per_s", "requests/s"), ("p99_ms", "p99, ms"))):
            axes = panels[row][column]
            values = [measured.median(key, name, quantity) or 0.0 for name in names]
            bars = axes.barh(names, values, color=[INK[name.startswith("this")] for name in names])
            axes.bar_label(bars, labels=[_short(value) for value in values], padding=2, fontsize=7)
            axes.set_xscale("log")
            low, high = min(values), max(values)
            # The longest bar's figure takes a quarter of the width, however many decades that is.
            axes.set_xlim(low / 3, high * 1.3 * (3 * high / low) ** 0.35)
            axes.set_xlabel(unit, fontsize=8)
            axes.tick_params(labelsize=7)
            axes.grid(visible=False, axis="y")
            if row == 0:
                axes.set_title(case.title.replace(", ", ",\n", 1), fontsize=8)
    return save(figure, path)


def _short(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"
