"""What a dashboard is made of, and how the Grafana SDK writes it down.

A board is rows of panels, a panel is a few queries with one unit. Layout is left to right, in Grafana's 24 columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.builders import common as common_builder
from grafana_foundation_sdk.builders import dashboard as dashboard_builder
from grafana_foundation_sdk.builders import prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common, dashboard

NAMESPACE = 'namespace="$namespace"'
_SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="$datasource")
_COLOURS = ("green", "orange", "red")


@dataclass(frozen=True)
class Query:
    """A PromQL expression and the name its series have in the legend."""

    expr: str
    legend: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Queries that share a unit.

    Attributes:
        title: what is shown.
        says: what a reader should conclude from it.
        unit: one of Grafana's unit ids.
        queries: at least one.
        kind: curves, or one number.
        stacked: whether the curves add up to something.
        limits: where a number turns orange and red; rising means worse, unless they fall.
        width: of 24 columns.
    """

    title: str
    says: str
    unit: str
    queries: Sequence[Query]
    kind: Literal["curves", "number"] = "curves"
    stacked: bool = False
    limits: tuple[float, ...] = ()
    width: int = 8


@dataclass(frozen=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class TextVariable:
    """A value that a viewer can enter."""

    name: str
    label: str
    value: str


@dataclass(frozen=True, kw_only=True)
class Board:
    """One dashboard; ``namespace_of`` is the metric whose label lists the namespaces to choose from."""

    uid: str
    title: str
    says: str
    rows: Sequence[Row]
    namespace_of: str
    namespace_label: str = "namespace"
    variables: Sequence[TextVariable] = ()

    def panels(self) -> list[Panel]:
        """Give the panels of all rows."""
        return [panel for row in self.rows for panel in row.panels]


def to_json(board: Board) -> str:
    """Write a board as Grafana imports it."""
    built = (
        dashboard_builder.Dashboard(board.title)
        .uid(board.uid)
        .description(board.says)
        .tags(["sentiment"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard_builder.DashboardLink("Sentiment")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags(["sentiment"])
            .as_dropdown(as_dropdown=True)
            .keep_time(keep_time=True)
            .include_vars(include_vars=True)
        )
    )
    built.with_variable(dashboard_builder.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    built.with_variable(
        dashboard_builder.QueryVariable("namespace")
        .label("Namespace")
        .datasource(_SOURCE)
        .query(f"label_values({board.namespace_of}, {board.namespace_label})")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
    )
    for variable in board.variables:
        built.with_variable(
            dashboard_builder.TextBoxVariable(variable.name).label(variable.label).default_value(variable.value)
        )
    number = 0
    for row in board.rows:
        built.with_row(dashboard_builder.Row(row.title))
        for panel in row.panels:
            number += 1
            built.with_panel(_panel(panel).id(number))
    return JSONEncoder(indent=2, sort_keys=True).encode(built.build()) + "\n"


def _panel(panel: Panel) -> timeseries.Panel | stat.Panel:
    made = _number(panel) if panel.kind == "number" else _curves(panel)
    made.title(panel.title).description(panel.says).datasource(_SOURCE).unit(panel.unit)
    made.span(panel.width).height(4 if panel.kind == "number" else 8)
    for query in panel.queries:
        made.with_target(prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(_SOURCE))
    if panel.limits:
        made.thresholds(_thresholds(panel.limits))
    return made


def _curves(panel: Panel) -> timeseries.Panel:
    made = timeseries.Panel().line_width(1).fill_opacity(20 if panel.stacked else 0)
    made.show_points(common.VisibilityMode.NEVER).axis_soft_min(0)
    made.legend(
        common_builder.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
    )
    made.tooltip(
        common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    if panel.stacked:
        made.stacking(common_builder.StackingConfig().mode(common.StackingMode.NORMAL))
    return made


def _number(panel: Panel) -> stat.Panel:
    made = stat.Panel().graph_mode(common.BigValueGraphMode.AREA)
    made.reduce_options(common_builder.ReduceDataOptions().calcs(["lastNotNull"]))
    if not panel.limits:
        made.color_mode(common.BigValueColorMode.NONE)
    return made


def _thresholds(limits: tuple[float, ...]) -> dashboard_builder.ThresholdsConfig:
    falling = limits[0] > limits[-1]
    bounds = sorted(limits)
    colours = list(_COLOURS[: len(limits) + 1])
    if falling:
        colours.reverse()
    steps = [dashboard.Threshold(value=None, color=colours[0])]
    steps += [dashboard.Threshold(value=bound, color=colour) for bound, colour in zip(bounds, colours[1:], strict=True)]
    return dashboard_builder.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def quantile(share: float, histogram: str, *, by: str = "", where: str = NAMESPACE) -> str:
    """Write the quantile of a histogram's observations in the last moments, by labels if any are named."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({histogram}_bucket{{{where}}}[$__rate_interval])))"


def rate(counter: str, *, by: str = "", where: str = NAMESPACE) -> str:
    """Write a counter's sum of rates, by labels if any are named."""
    grouped = f"sum by ({by}) " if by else "sum"
    return f"{grouped}(rate({counter}{{{where}}}[$__rate_interval]))"


def or_none(series: str, label: str) -> str:
    """Add a line at zero that is called ``none``: before anything has happened neither panel nor legend is empty."""
    return f'{series} or label_replace(vector(0), "{label}", "none", "", "")'


def throttled(component: str) -> str:
    """Write the share of the kernel's periods in which a component's CPU quota ran out, by pod."""
    periods = f"{component}_cpu_periods_total"
    return f"{rate(f'{component}_cpu_throttled_periods_total', by='pod')} / {rate(periods, by='pod')}"
