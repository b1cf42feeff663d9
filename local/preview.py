"""Shows the dashboards without Grafana: runs the stack, a real Prometheus and some traffic, and draws every panel.

    python -m local.preview [seconds of traffic]

Writes ``build/dashboards.html``. Panels about a cluster say that there is nothing to show.
"""

import asyncio
import html
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from local.charts import Points, draw, written
from local.prometheus import Prometheus, Target
from local.running import ROOT, running_stack
from local.traffic import send_all_kinds
from manifests.components.monitoring import alerts
from manifests.components.monitoring.boards import Board, Panel, Query
from manifests.components.monitoring.generate import BOARDS

PAGE = ROOT / "build" / "dashboards.html"
VARIABLES = {"$__rate_interval": "15s", "$namespace": "sentiment", "$usd_per_cpu_hour": "0.05"}
STYLE = """
:root { color-scheme: light dark; --card: #fff; --ink: #1b1f27; --soft: #5a6270; --line: #d5dae2; --page: #f4f5f8; }
@media (prefers-color-scheme: dark) { :root { --card: #1d2128; --ink: #e8ebf0; --soft: #a8b0bf; --line: #3a414d;
  --page: #14171c; } }
body { margin: 1rem; background: var(--page); color: var(--ink); font: 14px/1.4 system-ui, sans-serif; }
section { display: grid; grid-template-columns: repeat(24, 1fr); gap: .6rem; }
article { padding: .6rem; background: var(--card); border: 1px solid var(--line); border-radius: .4rem; min-width: 0; }
h3 { margin: 0 0 .3rem; font-size: .95rem; } h2 { margin: 1.2rem 0 .4rem; font-size: 1.05rem; }
.big { font-size: 1.7rem; margin: 0; font-variant-numeric: tabular-nums; } .none { color: var(--soft); }
svg { width: 100%; } svg line { stroke: var(--line); } svg text { fill: var(--soft); font-size: 11px; }
polyline { fill: none; stroke-width: 1.6; }
ul { display: flex; flex-wrap: wrap; gap: 0 .9rem; margin: .2rem 0 0; padding: 0; list-style: none; font-size: 12px; }
i { display: inline-block; width: .7rem; height: .7rem; margin-right: .3rem; border-radius: 2px; }
"""


def substituted(expr: str) -> str:
    """Fill in the variables as Grafana would."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return expr


def legend(query: Query, labels: dict[str, str]) -> str:
    """Name a series as Grafana does."""
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), query.legend).strip()


def curves(prometheus: Prometheus, panel: Panel, start_s: float, end_s: float) -> list[tuple[str, Points]]:
    """Ask for all series of a panel."""
    found = []
    for query in panel.queries:
        asked = prometheus.query_range(substituted(query.expr), start_s=start_s, end_s=end_s, step_s=1)
        for series in asked:
            points = [(float(at), float(value)) for at, value in series["values"]]
            found.append((legend(query, series["metric"]), points))
    return found


def panel_html(panel: Panel, series: Sequence[tuple[str, Points]], start_s: float, end_s: float) -> str:
    """Write one panel."""
    if not series:
        body = '<p class="none">nothing here: needs a cluster</p>'
    elif panel.kind == "number":
        body = f'<p class="big">{written(series[0][1][-1][1], panel.unit)}</p>'
    else:
        body = draw(series, unit=panel.unit, start_s=start_s, end_s=end_s)
    said = html.escape(panel.says)
    title = html.escape(panel.title)
    return f'<article style="grid-column: span {panel.width}" title="{said}"><h3>{title}</h3>{body}</article>'


def board_html(prometheus: Prometheus, board: Board, start_s: float, end_s: float) -> str:
    """Write one board."""
    rows = []
    for row in board.rows:
        panels = [panel_html(panel, curves(prometheus, panel, start_s, end_s), start_s, end_s) for panel in row.panels]
        rows.append(f"<h2>{html.escape(row.title)}</h2><section>{''.join(panels)}</section>")
    return f"<h1>{html.escape(board.title)}</h1>{''.join(rows)}"


def render(*, seconds: float, boards: Sequence[Board] = BOARDS) -> str:
    """Run everything for a while and give the page."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        with running_stack(folder) as ports:
            targets = [
                Target(job=name, port=port, labels={"namespace": "sentiment", "pod": f"{name}-0", "component": name})
                for name, port in (("transformer", ports.transformer), ("predictor", ports.predictor))
            ]
            with Prometheus(folder=folder, targets=targets, rule_groups=alerts.groups()) as prometheus:
                start_s = time.time()
                asyncio.run(send_all_kinds(ports.url, seconds=seconds, pause_s=0.02))
                end_s = time.time()
                content = "".join(board_html(prometheus, board, start_s, end_s) for board in boards)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Dashboards</title>'
        f"<style>{STYLE}</style><body>{content}</body></html>\n"
    )


def main() -> int:
    """Write the page and say where it is."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 45.0
    try:
        page = render(seconds=seconds)
    except FileNotFoundError as missing:
        print(missing, file=sys.stderr)
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page)
    print(f"open {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
