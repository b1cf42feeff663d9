import subprocess
import sys

import pytest
from prometheus_client.registry import CollectorRegistry
from support.processes import REPO

from transformer.metrics import REQUEST_OUTCOMES, Metrics


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


def test_benchmark_of_their_cost_measures_hits() -> None:
    program = (
        "import asyncio, metrics_cost as bench; print(*asyncio.run(bench.measure(rounds=2, requests=2)), sep=', ')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO / "load" / "bench", capture_output=True, text=True, check=False
    )
    assert done.stdout == "metrics, no metrics\n", done.stderr
