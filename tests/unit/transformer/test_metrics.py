import subprocess
import sys

import pytest
from prometheus_client.registry import CollectorRegistry
from support.processes import REPO

from transformer.metrics import REQUEST_OUTCOMES, Metrics
from transformer.pipeline.answer import Model


def exported(metrics: Metrics, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry.get_sample_value(name, labels)


def test_requests_are_counted_by_route_and_status_and_timed_by_outcome() -> None:
    metrics = Metrics()
    for route, status, outcome, seconds in (
        ("/predict", 200, "hit", 0.25),
        ("/predict", 200, "hit", 0.5),
        ("/predict", 200, "miss", 2.0),
        ("/predict", 503, "error", 1.0),
        ("/v1", 200, "hit", 0.25),
    ):
        metrics.request(route=route, status=status, outcome=outcome, seconds=seconds)
    counted = {
        (route, status): exported(metrics, "transformer_requests_total", route=route, status=status)
        for route in ("/predict", "/v1")
        for status in ("200", "503")
    }
    assert counted == {("/predict", "200"): 3, ("/predict", "503"): 1, ("/v1", "200"): 1, ("/v1", "503"): None}
    assert exported(metrics, "transformer_request_seconds_count", outcome="hit") == 3
    assert exported(metrics, "transformer_request_seconds_sum", outcome="hit") == 1.0
    assert exported(metrics, "transformer_request_seconds_sum", outcome="miss") == 2.0


@pytest.mark.parametrize(
    ("seconds", "below", "within"),
    [(0.0, None, "0.0001"), (0.0001, None, "0.0001"), (0.00011, "0.0001", "0.00025"), (0.25, "0.1", "0.25"),
     (10.0, "5.0", "10.0"), (10.1, "10.0", "+Inf")],
)  # fmt: skip
def test_bucket_holds_its_own_bound(seconds: float, below: str | None, within: str) -> None:
    metrics = Metrics()
    metrics.request(route="/predict", status=200, outcome="hit", seconds=seconds)
    assert exported(metrics, "transformer_request_seconds_bucket", outcome="hit", le=within) == 1
    if below is not None:
        assert exported(metrics, "transformer_request_seconds_bucket", outcome="hit", le=below) == 0


def test_every_outcome_is_there_before_its_first_request() -> None:
    for outcome in REQUEST_OUTCOMES:
        assert exported(Metrics(), "transformer_request_seconds_count", outcome=outcome) == 0


def test_unknown_outcome_is_refused() -> None:
    with pytest.raises(KeyError):
        Metrics().request(route="/predict", status=200, outcome="luck", seconds=0.1)


def test_answers_are_counted_by_label_and_by_how_sure_they_are() -> None:
    metrics = Metrics()
    model = Model(version="1", labels=("BAD", "GOOD"), prefix=b"", tally=metrics.tally(("BAD", "GOOD")))
    for scores in ((0.45, 0.55), (0.4, 0.6), (0.3, 0.7), (0.999, 0.001)):
        model.tally[model.answer(scores, truncated=False).bin] += 1
    assert exported(metrics, "transformer_answers_total", label="BAD") == 1
    assert exported(metrics, "transformer_answers_total", label="GOOD") == 3
    bins = {le: exported(metrics, "transformer_answer_score_bucket", le=le) for le in ("0.5", "0.6", "0.7", "1.0")}
    # As float32 0.6 is a little more than the bound, 0.7 a little less.
    assert bins == {"0.5": 0, "0.6": 1, "0.7": 3, "1.0": 4}
    assert exported(metrics, "transformer_answer_score_bucket", le="+Inf") == 4


def test_counts_of_answers_outlive_the_model_version() -> None:
    metrics = Metrics()
    labels = ("BAD", "GOOD")
    for version in ("1", "2"):
        model = Model(version=version, labels=labels, prefix=b"", tally=metrics.tally(labels))
        model.tally[model.answer((0.1, 0.9), truncated=False).bin] += 1
    assert exported(metrics, "transformer_answers_total", label="GOOD") == 2


def test_labels_are_there_before_their_first_answer() -> None:
    # A series that begins at its first event hides that event from every rate.
    metrics = Metrics()
    metrics.tally(("BAD", "GOOD"))
    assert exported(metrics, "transformer_answers_total", label="BAD") == 0


def test_benchmark_of_their_cost_measures_hits() -> None:
    program = (
        "import asyncio, metrics_cost as bench; print(*asyncio.run(bench.measure(rounds=2, requests=2)), sep=', ')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO / "load" / "bench", capture_output=True, text=True, check=False
    )
    assert done.stdout == "metrics, no metrics\n", done.stderr
