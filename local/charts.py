"""Draws a panel's series as a small SVG, light and dark, without a library."""

import html
import math
from collections.abc import Sequence

_WIDTH, _HEIGHT = 440, 180
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 8, 8, 20
_COLOURS = ("#3b6fd4", "#c0562f", "#2e8b57", "#8a5bc7", "#b08900", "#b03a68", "#3a8fa0", "#6b7280")
_STEPS = {"s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")), "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))}

Points = Sequence[tuple[float, float]]


def written(value: float, unit: str) -> str:
    """Write a value with its unit, as short as it can be read."""
    if math.isnan(value):
        return "no number"
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "ms":
        value, unit = value / 1000, "s"
    for factor, name in _STEPS.get(unit, ()):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {name}"
    suffix = {"reqps": " /s", "cps": " /s", "ops": " /s", "Bps": " B/s", "currencyUSD": " USD"}.get(unit, "")
    return f"{value:.3g}{suffix}"


def draw(series: Sequence[tuple[str, Points]], *, unit: str, start_s: float, end_s: float) -> str:
    """Draw named curves over a span of time; a curve breaks where there is no number."""
    finite = [value for _, points in series for _, value in points if math.isfinite(value)]
    if not finite:
        return '<p class="none">no number yet</p>'
    top = max(*finite, 0.0) * 1.05 or 1.0
    bottom = min(*finite, 0.0)

    def x(at_s: float) -> float:
        return _LEFT + (at_s - start_s) / (end_s - start_s) * (_WIDTH - _LEFT - _RIGHT)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - bottom) / (top - bottom) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">']
    for share in (0, 0.5, 1):
        value = bottom + share * (top - bottom)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{written(value, unit)}</text>')
    for number, (_, points) in enumerate(series):
        for run in _runs(points):
            path = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in run)
            parts.append(f'<polyline points="{path}" stroke="{_COLOURS[number % len(_COLOURS)]}"/>')
    parts.append("</svg>")
    return "".join(parts) + _legend(series, unit)


def _runs(points: Points) -> list[list[tuple[float, float]]]:
    runs: list[list[tuple[float, float]]] = [[]]
    for at, value in points:
        if math.isfinite(value):
            runs[-1].append((at, value))
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _legend(series: Sequence[tuple[str, Points]], unit: str) -> str:
    items = []
    for number, (name, points) in enumerate(series):
        last = next((value for _, value in reversed(points) if math.isfinite(value)), math.nan)
        colour = _COLOURS[number % len(_COLOURS)]
        items.append(f'<li><i style="background:{colour}"></i>{html.escape(name)} <b>{written(last, unit)}</b></li>')
    return f"<ul>{''.join(items)}</ul>"
