"""Gather results into one page: ``python -m load.report`` (make load-report) writes report.md and its plots."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from load.plots import plot_latency, plot_over_time
from load.results import Result, passed, read_results

PUBLISHED = Path(__file__).parent / "data" / "published.json"
OUTCOMES = ("all", "hit", "partial", "miss", "refused")


def ms(value: float | None) -> str:
    """Write milliseconds with three meaningful digits, a dash for None."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(share: float | None) -> str:
    """Write a share in per cent, a dash for None."""
    return "-" if share is None else f"{share * 100:.2f} %"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table, first column left, others right."""
    rule = "|".join(["---", *["---:"] * (len(head) - 1)])
    return "\n".join([f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)])


def latency_cells(latency: dict[str, Any] | None) -> list[str]:
    """Give count and percentiles as cells."""
    if latency is None:
        return ["0", "-", "-", "-", "-", "-"]
    return [str(latency["count"]), *(ms(latency[key]) for key in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"))]


def overview(results: Sequence[Result]) -> str:
    """Write one row per run."""
    rows = [
        [
            f"{result['scenario']} {result['finished_at'][:16].replace('T', ' ')}",
            "passed" if passed(result) else "failed",
            f"{result['requests']['per_s']:.1f}",
            f"{result['texts']['per_s']:.1f}",
            percent(result["cache"]["hit_share"]),
            percent(result["requests"]["failed_share"]),
            str(result["dropped"]),
            *latency_cells(result["latency"]["all"])[1:5],
        ]
        for result in results
    ]
    head = ["run", "", "req/s", "texts/s", "hits", "failed", "dropped", "p50 ms", "p90 ms", "p95 ms", "p99 ms"]
    return table(head, rows)


def details(result: Result) -> str:
    """Write one run: latency by outcome and step, statuses, broken rules, notes, settings, machine."""
    latency = [[name, *latency_cells(result["latency"][name])] for name in OUTCOMES if result["latency"].get(name)]
    latency += [[step["step"], *latency_cells(step["latency"])] for step in result["steps"]]
    broken = [f"- broken: `{rule['metric']} {rule['expression']}`" for rule in result["thresholds"] if not rule["ok"]]
    broken += [f"- wrong: {check['name']} ({check['fails']} times)" for check in result["checks"] if check["fails"]]
    notes = [f"- {note}" for note in result["notes"]]
    statuses = ", ".join(f"{status}: {count}" for status, count in result["requests"]["statuses"].items())
    lines = [
        f"### {result['scenario']}, {result['finished_at'][:19].replace('T', ' ')} UTC",
        "",
        table(["ms", "count", "p50", "p90", "p95", "p99", "max"], latency),
        "",
        f"Statuses: {statuses}. Measured {result['measured_s']:.0f} s.",
        *broken,
        *notes,
        "",
        f"Settings: `{json.dumps(result['settings'])}`  ",
        f"Machine: `{json.dumps(result['machine'])}`",
    ]
    return "\n".join(lines)


def seed_comparison(result: Result) -> str:
    """Write a run of the seed's scenario beside the figures that the seed published."""
    published = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    latency = result["latency"]["all"]
    held = next((note for note in result["notes"] if "while 10 clients ran" in note), "")
    rows = [
        [
            f"published, {phase['pods']} pods",
            f"< {phase['operations_per_s_below']}",
            *("-", "-", "-"),
            f"< {phase['p99_below_ms']}",
            "-",
        ]
        for phase in published["phases"]
    ]
    rows += [
        [
            f"sibling: {other['what']}",
            f"{other['requests_per_s']}",
            *(ms(other[key]) for key in ("p50_ms", "p90_ms", "p95_ms", "p99_ms")),
            percent(other.get("failed_share")),
        ]
        for other in published["siblings"]
    ]
    rows.append(
        [
            "**this run**",
            f"{result['requests']['per_s']:.1f}",
            *(ms(latency[key]) for key in ("p50_ms", "p90_ms", "p95_ms", "p99_ms")),
            percent(result["requests"]["failed_share"]),
        ]
    )
    lines = [
        table(["", "req/s", "p50 ms", "p90 ms", "p95 ms", "p99 ms", "failed"], rows),
        "",
        f"This run: mean over all of its {result['measured_s']:.0f} s, ramps included; {held}.",
        f"Published: {published['source']} Known: {'; '.join(published['known'])}.",
        f"Not known: {'; '.join(published['unknown'])}.",
    ]
    return "\n".join(lines)


def page(results: Sequence[Result], plots: Sequence[Path]) -> str:
    """Write the whole report."""
    parts = ["# Load report", overview(results)]
    parts += [f"![{path.stem}]({path.name})" for path in plots]
    seeds = [result for result in results if result["scenario"] == "seed"]
    if seeds:
        parts += ["## The seed's scenario beside its published figures", seed_comparison(seeds[-1])]
    parts += ["## Runs", *(details(result) for result in results)]
    return "\n\n".join(parts) + "\n"


def write_report(results: Sequence[Result], folder: Path) -> Path:
    """Write report.md and its plots into a folder; give the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    plots = [plot_latency(results, folder / "latency.svg")]
    plots += [
        plot_over_time(result, folder / f"over-time-{number}-{result['scenario']}.svg")
        for number, result in enumerate(results, start=1)
        if len(result["windows"]) > 1
    ]
    path = folder / "report.md"
    path.write_text(page(results, plots), encoding="utf-8")
    return path


def main() -> int:
    """Read results, write the report."""
    parser = argparse.ArgumentParser(prog="python -m load.report", description=__doc__)
    parser.add_argument("results", nargs="*", type=Path, default=[Path("results/load")], help="files or folders")
    parser.add_argument("--out", type=Path, default=Path("results/load-report"), help="folder for the page")
    options = parser.parse_args()
    try:
        results = read_results(options.results)
    except (OSError, ValueError) as reason:
        print(reason, file=sys.stderr)
        return 2
    if not results:
        print(f"no results in {', '.join(map(str, options.results))}: run `make load` first", file=sys.stderr)
        return 2
    print(write_report(results, options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
