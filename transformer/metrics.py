"""The transformer's metrics, and how Prometheus reads them.

Counting is plain arithmetic on the event loop's own thread; families are built when ``/metrics`` is read. The client
library's counters lock on every increment, which would be a tenth of a cached answer's cost; the cost here is measured
by ``load/bench/metrics_cost.py``.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from transformer.pipeline.answer import SCORE_BINS, SCORE_BOUNDS

# Seconds. A cached answer takes about 0.1 ms, a forward about 10 ms, a deadline about 10 s.
_REQUEST_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_FASTEST_S = _REQUEST_BUCKETS[0]
_REDIS_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)

TEXT_OUTCOMES = ("hit_l1", "hit_l2", "miss", "coalesced", "duplicate")
REQUEST_OUTCOMES = ("hit", "miss", "partial", "error", "other")


class Histogram:
    """Counts observations into fixed buckets.

    Args:
        bounds: upper bounds in seconds, ascending.

    Attributes:
        counts: observations by bucket, those above the last bound at the end.
        sum_s: seconds of all observations.
    """

    __slots__ = ("_bounds", "counts", "sum_s")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one observation."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.sum_s += seconds

    def add(self, other: "Histogram") -> None:
        """Add the counts of another histogram with the same bounds."""
        self.counts = [own + more for own, more in zip(self.counts, other.counts, strict=True)]
        self.sum_s += other.sum_s

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Add the counts to a family, cumulative, as Prometheus wants them."""
        family.add_metric(labels, _cumulative(self._bounds, self.counts), sum_value=self.sum_s)


class RedisMetrics:
    """Metrics of this process's traffic with Redis."""

    def __init__(self) -> None:
        self._errors: Counter[tuple[str, str]] = Counter()
        self._seconds = {operation: Histogram(_REDIS_BUCKETS) for operation in ("read", "write")}
        self._shards: dict[str, tuple[str, bool]] = {}

    @property
    def degraded(self) -> bool:
        """Whether Redis is not fully usable."""
        return any(state != "ok" for state, _ in self._shards.values())

    @property
    def breaker_open(self) -> bool:
        """Whether Redis, or one of its shards, is not being asked now."""
        return any(not readable for _, readable in self._shards.values())

    def error(self, operation: str, reason: str) -> None:
        """Count a failed read, write or probe."""
        self._errors[operation, reason] += 1

    def took(self, operation: str, seconds: float) -> None:
        """Count one round trip."""
        self._seconds[operation].observe(seconds)

    def state(self, shard: str, state: str, *, readable: bool) -> None:
        """Set a shard's state: ``ok`` or its trouble's label, and whether it is asked; a single Redis is one shard."""
        self._shards[shard] = state, readable

    def forget(self, shard: str) -> None:
        """Drop a shard that is gone."""
        self._shards.pop(shard, None)

    def collect(self) -> Iterator[Metric]:
        """Give the families."""
        yield GaugeMetricFamily(
            "transformer_degraded", "1 while Redis is configured but not fully usable, else 0.", float(self.degraded)
        )
        yield GaugeMetricFamily(
            "transformer_redis_breaker_open",
            "1 while Redis, or one of a cluster's shards, is not asked.",
            float(self.breaker_open),
        )
        shards = GaugeMetricFamily(
            "transformer_redis_shards",
            "Shards of Redis by state; a single Redis is one shard.",
            labels=("state",),
        )
        for state, count in sorted(Counter(state for state, _ in self._shards.values()).items()):
            shards.add_metric((state,), count)
        yield shards
        yield _counter("transformer_redis_errors", "Failed Redis operations.", ("operation", "reason"), self._errors)
        seconds = HistogramMetricFamily(
            "transformer_redis_seconds", "Seconds of a Redis round trip.", labels=("operation",)
        )
        for operation, histogram in self._seconds.items():
            histogram.add_to(seconds, (operation,))
        yield seconds


class Metrics(Collector):
    """All of the transformer's metrics; register it with a Prometheus registry."""

    def __init__(self) -> None:
        self.redis = RedisMetrics()
        self.in_flight = 0
        self.version: str | None = None
        self._texts = dict.fromkeys(TEXT_OUTCOMES, 0)
        self._tallies: dict[tuple[str, ...], list[int]] = {}
        # By outcome, status and route: one histogram is both counter and histogram, found without hashing a tuple.
        self._requests: dict[str, dict[int, dict[str, Histogram]]] = {outcome: {} for outcome in REQUEST_OUTCOMES}
        self._predictor_seconds = Histogram(_REQUEST_BUCKETS)
        self._predictor_errors: Counter[str] = Counter()

    def texts(self, outcome: str, count: int = 1) -> None:
        """Count texts by outcome; the outcomes add up to the texts received."""
        self._texts[outcome] += count

    def tally(self, labels: tuple[str, ...]) -> list[int]:
        """Give the list in which answers with these labels are counted by `Answer.bin`; it outlives a model version."""
        return self._tallies.setdefault(labels, [0] * (SCORE_BINS * len(labels)))

    def request(self, *, route: str, status: int, outcome: str, seconds: float) -> None:
        """Count an answered request."""
        try:
            seen = self._requests[outcome][status][route]
        except KeyError:
            seen = Histogram(_REQUEST_BUCKETS)
            self._requests[outcome].setdefault(status, {})[route] = seen
        # `observe` inlined, without a search for the bucket that most hits fall into.
        seen.counts[0 if seconds <= _FASTEST_S else bisect_left(_REQUEST_BUCKETS, seconds)] += 1
        seen.sum_s += seconds

    def predictor(self, *, seconds: float, error: str | None) -> None:
        """Count a predictor call: its seconds, and the error's code if it failed."""
        self._predictor_seconds.observe(seconds)
        if error is not None:
            self._predictor_errors[error] += 1

    def collect(self) -> Iterator[Metric]:
        """Give the families; called for every scrape."""
        yield _counter("transformer_texts", "Texts by outcome.", ("outcome",), self._texts)
        yield from self._answers()
        answered: Counter[tuple[str, str]] = Counter()
        by_outcome = {outcome: Histogram(_REQUEST_BUCKETS) for outcome in REQUEST_OUTCOMES}
        for outcome, statuses in self._requests.items():
            for status, routes in list(statuses.items()):
                for route, seen in list(routes.items()):
                    answered[route, str(status)] += sum(seen.counts)
                    by_outcome[outcome].add(seen)
        yield _counter("transformer_requests", "Answered requests.", ("route", "status"), answered)
        seconds = HistogramMetricFamily(
            "transformer_request_seconds", "Seconds from body to answer by cache outcome.", labels=("outcome",)
        )
        for outcome, histogram in by_outcome.items():
            histogram.add_to(seconds, (outcome,))
        yield seconds
        yield GaugeMetricFamily("transformer_in_flight", "Requests being answered now.", self.in_flight)
        predictor = HistogramMetricFamily("transformer_predictor_seconds", "Seconds of a predictor call.", labels=())
        self._predictor_seconds.add_to(predictor, ())
        yield predictor
        yield _counter("transformer_predictor_errors", "Failed predictor calls.", ("code",), self._predictor_errors)
        info = GaugeMetricFamily("transformer_model_info", "The model version in force.", labels=("version",))
        if self.version is not None:
            info.add_metric((self.version,), 1)
        yield info
        yield from self.redis.collect()

    def _answers(self) -> Iterator[Metric]:
        """Give the answers' labels and confidence, to be compared over time for drift."""
        by_label: Counter[str] = Counter()
        by_score = [0] * SCORE_BINS
        for labels, tally in list(self._tallies.items()):
            for n, label in enumerate(labels):
                counts = tally[n * SCORE_BINS : (n + 1) * SCORE_BINS]
                by_label[label] += sum(counts)
                by_score = [own + more for own, more in zip(by_score, counts, strict=True)]
        yield _counter("transformer_answers", "Texts answered, by their best label.", ("label",), by_label)
        scores = HistogramMetricFamily("transformer_answer_score", "Best label's score of every text answered.")
        # Without a sum, which would cost every answer an addition and says less than the buckets.
        scores.add_metric((), _cumulative(SCORE_BOUNDS, by_score), sum_value=None)
        yield scores


def _counter(
    name: str, says: str, labels: Sequence[str], counts: Mapping[str, int] | Mapping[tuple[str, str], int]
) -> Metric:
    family = CounterMetricFamily(name, says, labels=labels)
    for values, count in list(counts.items()):
        family.add_metric((values,) if isinstance(values, str) else values, count)
    return family


def _cumulative(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    return list(zip([*map(str, bounds), "+Inf"], accumulate(counts), strict=True))
