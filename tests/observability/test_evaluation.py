"""Every expression of every dashboard, asked of a real Prometheus that scrapes the real stack under load.

What only a cluster has (Knative, Istio, redis_exporter, cert-manager, kube-state-metrics) is served from samples.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from observability.catalogue import SAMPLES, metrics_in, substituted
from support.exposition import Exposition
from support.programs import require

from local.preview import board_html
from local.prometheus import Prometheus, Target
from local.running import running_stack
from local.traffic import send_all_kinds
from manifests.components.monitoring import alerts
from manifests.components.monitoring.generate import BOARDS
from manifests.components.monitoring.objectives import OBJECTIVES
from manifests.components.monitoring.service import SERVICE

pytestmark = pytest.mark.timeout(180)
SETTLE_S = 30
EXPRS = [query.expr for board in BOARDS for panel in board.panels() for query in panel.queries]
QUERIES = [
    pytest.param(query.expr, id=f"{board.uid}: {panel.title}: {query.legend}")
    for board in BOARDS
    for panel in board.panels()
    for query in panel.queries
]


def wait_for_rules(running: Prometheus) -> None:
    """Wait until the rules that build on scrapes have been evaluated."""
    deadline = time.monotonic() + SETTLE_S
    while not running.query(OBJECTIVES[0].recorded("5m")) and time.monotonic() < deadline:
        time.sleep(0.2)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    require("prometheus", package="prometheus")
    folder: Path = tmp_path_factory.mktemp("prometheus")
    with contextlib.ExitStack() as stack:
        ports = stack.enter_context(running_stack(folder))
        targets = [
            Target(job=name, port=port, labels={"namespace": "sentiment", "pod": f"{name}-0", "component": name})
            for name, port in (("transformer", ports.transformer), ("predictor", ports.predictor))
        ]
        for samples in sorted(SAMPLES.glob("*.prom")):
            exposition = stack.enter_context(Exposition(samples))
            # A cluster's own figures name namespaces themselves; a pod's get them from its monitor.
            own = samples.stem in ("queue-proxy", "redis-exporter", "cpu-quota")
            labels = {"namespace": "sentiment", "component": "predictor", "pod": samples.stem} if own else {}
            targets.append(Target(job=samples.stem, port=exposition.port, labels=labels))
        running = stack.enter_context(Prometheus(folder=folder, targets=targets, rule_groups=alerts.groups()))
        asyncio.run(send_all_kinds(ports.url, seconds=8))
        assert running.healthy_targets() == {target.job for target in targets}
        wait_for_rules(running)
        yield running


@pytest.mark.parametrize("expr", QUERIES)
def test_panel_shows_a_number(prometheus: Prometheus, expr: str) -> None:
    assert any(math.isfinite(float(series["value"][1])) for series in prometheus.query(substituted(expr))), expr


def test_queries_of_the_services_need_no_sample(prometheus: Prometheus) -> None:
    """What the two services export comes from them here; the CPU counters are absent without a quota."""
    for name in sorted({name for expr in map(substituted, EXPRS) for name in metrics_in(expr)}):
        if name.startswith(("transformer_", "predictor_")) and "_cpu_" not in name:
            pods = {series["metric"].get("pod") for series in prometheus.query(name)}
            assert pods & {"transformer-0", "predictor-0"} or name.endswith("_errors_total"), name


def test_objectives_are_recorded(prometheus: Prometheus) -> None:
    for group in alerts.groups():
        for rule in group["rules"]:
            if "record" in rule:
                found = prometheus.query(rule["record"])
                assert [series["metric"]["namespace"] for series in found] == ["sentiment"], rule


def test_healthy_service_fires_no_page(prometheus: Prometheus) -> None:
    firing = prometheus.query('ALERTS{alertstate="firing",severity="page"}')
    assert firing == []


def test_shares_are_shares(prometheus: Prometheus) -> None:
    """A ratio whose counters do not belong together shows here."""
    for board in BOARDS:
        for panel in board.panels():
            if panel.unit != "percentunit" or panel.title.startswith("Budget"):
                continue
            for query in panel.queries:
                for series in prometheus.query(substituted(query.expr)):
                    value = float(series["value"][1])
                    assert math.isnan(value) or 0 <= value <= 1, (panel.title, value)


def test_preview_draws_every_panel_of_the_services(prometheus: Prometheus) -> None:
    end_s = time.time()
    page = board_html(prometheus, SERVICE, end_s - 5, end_s)
    assert page.count("<article") == len(SERVICE.panels())
    assert page.count("<svg") == sum(panel.kind == "curves" for panel in SERVICE.panels())
    assert "nothing here" not in page
    assert "no number yet" not in page
