"""The service level objectives, and the windows over which their error budgets are watched.

Burn rates follow the multi-window scheme of the SRE workbook, chapter 5: a page when 2 % of a 30-day budget is gone in
an hour or 5 % in six, a ticket at 10 % in a day or in three. The short window ends an alert when the trouble has ended.
"""

from dataclasses import dataclass

PREDICT_ROUTES = 'route=~"/predict|/v1/models/.+|/v2/models/.+"'
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
# long window, short window, burn rate, minutes it has to last, severity
BURNS = (
    ("1h", "5m", 14.4, 2, "page"),
    ("6h", "30m", 6.0, 5, "page"),
    ("1d", "2h", 3.0, 30, "ticket"),
    ("3d", "6h", 1.0, 60, "ticket"),
)
# Below this rate a single failure would burn the budget, and hardly anyone would notice it.
LEAST_REQUESTS_PER_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A share of requests that has to be good over 30 days.

    Attributes:
        name: in recording rules and the ``slo`` label.
        alert: name of its alert.
        target: the share that has to be good.
        good_means: a good request, for the boards.
        bad_means: what a bad request did, for the alerts.
        bad, all: counters of bad and of all events, with ``{window}`` where the range goes.
    """

    name: str
    alert: str
    target: float
    good_means: str
    bad_means: str
    bad: str
    all: str

    @property
    def budget(self) -> float:
        """The share that may be bad."""
        return round(1 - self.target, 6)

    def ratio(self, window: str) -> str:
        """Write the share of bad events in a window, by namespace."""
        bad, every = self.bad.replace("{window}", window), self.all.replace("{window}", window)
        return f"({bad}) / ({every})"

    def recorded(self, window: str) -> str:
        """Name the recorded share of bad events in a window."""
        return f"namespace:sentiment_{self.name}_bad:ratio_rate{window}"


def _rate(selector: str) -> str:
    return f"sum by (namespace) (rate({selector}[{{window}}]))"


def _slower_than(bound_s: str, outcomes: str) -> tuple[str, str]:
    every = _rate(f'transformer_request_seconds_count{{outcome=~"{outcomes}"}}')
    within = _rate(f'transformer_request_seconds_bucket{{outcome=~"{outcomes}",le="{bound_s}"}}')
    return f"{every} - {within}", every


_ALL_REQUESTS = _rate(f"transformer_requests_total{{{PREDICT_ROUTES}}}")
_FAILED = _rate(f'transformer_requests_total{{{PREDICT_ROUTES},status=~"5.."}}')
_SLOW, _ANSWERED = _slower_than("0.25", "hit|partial|miss")
_SLOW_HITS, _HITS = _slower_than("0.005", "hit")

OBJECTIVES = (
    Objective(
        name="availability",
        alert="SentimentAvailabilityBudgetBurn",
        target=0.999,
        good_means="answered without a 5xx",
        bad_means="got a 5xx",
        # Before the first failure its series does not exist: the share is then 0, not unknown.
        bad=f"{_FAILED} or 0 * {_ALL_REQUESTS}",
        all=_ALL_REQUESTS,
    ),
    Objective(
        name="latency",
        alert="SentimentLatencyBudgetBurn",
        target=0.99,
        good_means="answered within 250 ms, cached or not",
        bad_means="took longer than 250 ms, cached or not",
        bad=_SLOW,
        all=_ANSWERED,
    ),
    Objective(
        name="hit_latency",
        alert="SentimentHitLatencyBudgetBurn",
        target=0.99,
        good_means="answered within 5 ms when every text was cached",
        bad_means="took longer than 5 ms with every text cached",
        bad=_SLOW_HITS,
        all=_HITS,
    ),
)
REQUESTS = "namespace:sentiment_requests:rate"
REQUESTS_EXPR = _ALL_REQUESTS
