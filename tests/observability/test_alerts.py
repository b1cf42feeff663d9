"""The rules: Prometheus accepts them, every alert fires when it should and only then, and has a runbook entry."""

import re
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.processes import REPO
from support.programs import require

from manifests.components.monitoring import alerts
from manifests.components.monitoring.generate import RULES
from manifests.components.monitoring.objectives import OBJECTIVES

RUNBOOK = REPO / alerts.RUNBOOK
MODES: tuple[alerts.Mode, ...] = ("knative", "standard")


def names(mode: alerts.Mode) -> set[str]:
    return {rule["alert"] for group in alerts.groups(mode) for rule in group["rules"] if "alert" in rule}


NAMES = sorted(names("knative") | names("standard"))
NS = 'namespace="sentiment"'
Series = Mapping[str, str]
Rules = list[dict[str, Any]]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require("promtool", package="prometheus"), *arguments], capture_output=True, text=True, check=False
    )


def applied(mode: alerts.Mode) -> Rules:
    """The rules as they are applied."""
    groups = yaml.safe_load(RULES[mode].read_text())["spec"]["groups"]
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def rules() -> Rules:
    return applied("knative")


def firing(rules: Rules, series: Series, at: str, alert: str) -> list[dict[str, str]]:
    """Give the labels of the alerts of a name that fire after so long on these series (promtool's notation)."""
    own = [rule for rule in rules if rule.get("alert") == alert]
    used = [rule for rule in rules if "record" in rule and any(rule["record"] in each["expr"] for each in own)]
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in series.items()],
                "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "tested", "rules": used + own}]}))
        (Path(folder) / "test.yaml").write_text(yaml.safe_dump(test))
        done = promtool("test", "rules", str(Path(folder) / "test.yaml"))
    if done.returncode == 0:
        return []
    got = done.stderr.split("got:", 1)
    assert len(got) == 2, done.stderr
    return [dict(re.findall(r'(\w+)="([^"]*)"', labels)) for labels in re.findall(r"Labels:{([^}]*)}", got[1])]


def traffic(*, bad_share: float, hours: int, status: str = "503") -> dict[str, str]:
    """Ten requests a second on /predict, a share of them failing."""
    failed = round(600 * bad_share, 3)
    return {
        f'transformer_requests_total{{{NS},route="/predict",status="200"}}': f"0+{600 - failed}x{hours * 60}",
        f'transformer_requests_total{{{NS},route="/predict",status="{status}"}}': f"0+{failed}x{hours * 60}",
    }


def latencies(outcome: str, *, slow_share: float, bound: str, hours: int) -> dict[str, str]:
    """Ten answers a second of an outcome, a share of them above a bound."""
    within = round(600 * (1 - slow_share), 3)
    name = "transformer_request_seconds"
    return {
        f'{name}_bucket{{{NS},outcome="{outcome}",le="{bound}"}}': f"0+{within}x{hours * 60}",
        f'{name}_bucket{{{NS},outcome="{outcome}",le="+Inf"}}': f"0+600x{hours * 60}",
        f'{name}_count{{{NS},outcome="{outcome}"}}': f"0+600x{hours * 60}",
        f'transformer_requests_total{{{NS},route="/predict",status="200"}}': f"0+600x{hours * 60}",
    }


def throttled(**periods: int) -> dict[str, str]:
    """A pod of each component, held back in so many of the 600 periods of a minute."""
    series = {}
    for component, held in periods.items():
        pod = f'{NS},pod="{component}-0"'
        series[f"{component}_cpu_periods_total{{{pod}}}"] = "0+600x60"
        series[f"{component}_cpu_throttled_periods_total{{{pod}}}"] = f"0+{held}x60"
    return series


def answered(positive: str, negative: str, *, unsure: str = "0+60x300") -> dict[str, str]:
    """Answers of two labels, and how many of them have a low score."""
    return {
        f'transformer_answers_total{{{NS},label="POSITIVE"}}': positive,
        f'transformer_answers_total{{{NS},label="NEGATIVE"}}': negative,
        f'transformer_answer_score_bucket{{{NS},le="0.6"}}': unsure,
        f'transformer_answer_score_bucket{{{NS},le="+Inf"}}': "0+600x300",
    }


REVISION = 'k8s_namespace_name="sentiment",kn_revision_name="sentiment-predictor-00001"'
GATEWAY = 'reporter="source",source_workload="istio-ingressgateway",destination_service_namespace="sentiment"'
# name: series on which it fires, when, and series on which it does not
SYMPTOMS: dict[str, tuple[Series, str, Series]] = {
    "SentimentCacheDegraded": (
        {f"transformer_degraded{{{NS}}}": "1x30"},
        "10m",
        {f"transformer_degraded{{{NS}}}": "1x3 0x30"},
    ),
    "SentimentHitRatioDrop": (
        {
            f'transformer_texts_total{{{NS},outcome="hit_l1"}}': "0+540x120 64800+60x40",
            f'transformer_texts_total{{{NS},outcome="miss"}}': "0+60x120 7200+540x40",
        },
        "155m",
        {
            f'transformer_texts_total{{{NS},outcome="hit_l1"}}': "0+540x160",
            f'transformer_texts_total{{{NS},outcome="miss"}}': "0+60x160",
        },
    ),
    "SentimentPredictorShedding": (
        {
            f'predictor_shed_total{{{NS},reason="queue_full"}}': "0+12x30",
            f'predictor_requests_total{{{NS},status="200"}}': "0+600x30",
        },
        "15m",
        {
            f'predictor_shed_total{{{NS},reason="client_gone"}}': "0+120x30",
            f'predictor_requests_total{{{NS},status="200"}}': "0+600x30",
        },
    ),
    "SentimentPredictorQueueOld": (
        {f'predictor_queue_age_seconds{{{NS},pod="a"}}': "3x30"},
        "10m",
        {f'predictor_queue_age_seconds{{{NS},pod="a"}}': "1.5x30"},
    ),
    "SentimentThrottled": (throttled(predictor=90, transformer=30), "30m", throttled(predictor=30, transformer=30)),
    "SentimentModelVersionsDiffer": (
        {
            f'transformer_model_info{{{NS},pod="a",version="1"}}': "1x60",
            f'transformer_model_info{{{NS},pod="b",version="2"}}': "1x60",
        },
        "45m",
        {
            f'transformer_model_info{{{NS},pod="a",version="1"}}': "1x60",
            f'transformer_model_info{{{NS},pod="b",version="1"}}': "1x60",
        },
    ),
    "SentimentPanicMode": (
        {f"kn_revision_panic_mode{{{REVISION}}}": "1x30"},
        "15m",
        {f"kn_revision_panic_mode{{{REVISION}}}": "1x5 0x30"},
    ),
    "SentimentPodsMissing": (
        {f"kn_revision_pods_desired{{{REVISION}}}": "3x40", f"kn_revision_pods_count{{{REVISION}}}": "2x40"},
        "30m",
        {f"kn_revision_pods_desired{{{REVISION}}}": "3x40", f"kn_revision_pods_count{{{REVISION}}}": "3x40"},
    ),
    "SentimentAnswersShifted": (
        # Half and half for four hours, then an hour of nothing but the first.
        answered("0+300x240 72300+600x60", "0+300x240 72000+0x60"),
        "299m",
        answered("0+300x300", "0+300x300"),
    ),
    "SentimentGatewayErrors": (
        {
            f'istio_requests_total{{{GATEWAY},response_code="200"}}': "0+570x30",
            f'istio_requests_total{{{GATEWAY},response_code="503"}}': "0+30x30",
        },
        "15m",
        {
            f'istio_requests_total{{{GATEWAY},response_code="200"}}': "0+599x30",
            f'istio_requests_total{{{GATEWAY},response_code="503"}}': "0+1x30",
        },
    ),
    "SentimentCertificateExpiring": (
        {'certmanager_certificate_expiration_timestamp_seconds{name="w",exported_namespace="n"}': "864000x120"},
        "90m",
        {'certmanager_certificate_expiration_timestamp_seconds{name="w",exported_namespace="n"}': "7776000x120"},
    ),
    "SentimentMetricsAbsent": (
        {f"kn_revision_pods_count{{{REVISION}}}": "2x30"},
        "15m",
        {f"kn_revision_pods_count{{{REVISION}}}": "2x30", f"predictor_threads{{{NS}}}": "2x30"},
    ),
    "SentimentPlatformMetricsAbsent": (
        {f"predictor_threads{{{NS}}}": "2x30"},
        "20m",
        {f"kn_revision_pods_count{{{REVISION}}}": "0x30"},
    ),
}

DEPLOYMENT = f'{NS},deployment="sentiment-predictor"'
AUTOSCALER = f'{NS},horizontalpodautoscaler="keda-hpa-sentiment-predictor"'
STANDARD: dict[str, tuple[Series, str, Series]] = {
    "SentimentPodsMissing": (
        {
            f"kube_deployment_spec_replicas{{{DEPLOYMENT}}}": "3x40",
            f"kube_deployment_status_replicas_available{{{DEPLOYMENT}}}": "2x40",
        },
        "30m",
        {
            f"kube_deployment_spec_replicas{{{DEPLOYMENT}}}": "3x40",
            f"kube_deployment_status_replicas_available{{{DEPLOYMENT}}}": "3x40",
        },
    ),
    "SentimentAtMaximum": (
        {
            f"kube_horizontalpodautoscaler_status_desired_replicas{{{AUTOSCALER}}}": "10x40",
            f"kube_horizontalpodautoscaler_spec_max_replicas{{{AUTOSCALER}}}": "10x40",
        },
        "30m",
        {
            f"kube_horizontalpodautoscaler_status_desired_replicas{{{AUTOSCALER}}}": "9x40",
            f"kube_horizontalpodautoscaler_spec_max_replicas{{{AUTOSCALER}}}": "10x40",
        },
    ),
    "SentimentMetricsAbsent": (
        {f"kube_deployment_status_replicas_available{{{DEPLOYMENT}}}": "2x30"},
        "15m",
        {
            f"kube_deployment_status_replicas_available{{{DEPLOYMENT}}}": "2x30",
            f"predictor_threads{{{NS}}}": "2x30",
        },
    ),
    "SentimentPlatformMetricsAbsent": (
        {f"predictor_threads{{{NS}}}": "2x30"},
        "20m",
        {f"kube_deployment_spec_replicas{{{DEPLOYMENT}}}": "0x30"},
    ),
}


@pytest.mark.parametrize("mode", MODES)
def test_prometheus_accepts_the_rules(mode: alerts.Mode, tmp_path: Path) -> None:
    rules = applied(mode)
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(path))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_here() -> None:
    burns = {objective.alert for objective in OBJECTIVES}
    assert names("knative") == set(SYMPTOMS) | burns
    everywhere = {alert.name for alert in alerts.SYMPTOMS}
    assert names("standard") == everywhere | set(STANDARD) | burns


@pytest.mark.parametrize("name", STANDARD)
def test_symptom_of_standard_mode_fires_when_it_should_and_only_then(name: str) -> None:
    wrong, at, right = STANDARD[name]
    assert len(firing(applied("standard"), wrong, at, name)) == 1
    assert firing(applied("standard"), right, at, name) == []


def test_standard_mode_asks_nothing_of_knative() -> None:
    assert not [rule for rule in applied("standard") if "kn_" in rule["expr"]]


@pytest.mark.parametrize("name", SYMPTOMS)
def test_symptom_fires_when_it_should_and_only_then(rules: Rules, name: str) -> None:
    wrong, at, right = SYMPTOMS[name]
    assert len(firing(rules, wrong, at, name)) == 1
    assert firing(rules, right, at, name) == []


def test_answers_that_become_less_sure_are_a_shift_too(rules: Rules) -> None:
    even = "0+300x300"
    series = answered(even, even, unsure="0+60x240 14760+360x60")
    assert len(firing(rules, series, "299m", "SentimentAnswersShifted")) == 1


@pytest.mark.parametrize("component", ["predictor", "transformer"])
def test_throttling_of_either_component_is_told_with_its_pod(rules: Rules, component: str) -> None:
    series = throttled(**{"predictor": 30, "transformer": 30} | {component: 90})
    assert [found["pod"] for found in firing(rules, series, "30m", "SentimentThrottled")] == [f"{component}-0"]


# A window that reaches back before the first sample knows the share of what there is.
BURN_CASES = [
    pytest.param(0.02, {"1h", "6h", "1d", "3d"}, id="twenty times the budget"),
    pytest.param(0.007, {"6h", "1d", "3d"}, id="seven times"),
    pytest.param(0.004, {"1d", "3d"}, id="four times"),
    pytest.param(0.002, {"3d"}, id="twice"),
    pytest.param(0.0005, set(), id="half"),
]


@pytest.mark.parametrize(("bad_share", "windows"), BURN_CASES)
def test_failures_burn_the_availability_budget(rules: Rules, bad_share: float, windows: set[str]) -> None:
    found = firing(rules, traffic(bad_share=bad_share, hours=2), "119m", "SentimentAvailabilityBudgetBurn")
    assert {labels["window"] for labels in found} == windows
    severity = {labels["window"]: labels["severity"] for labels in found}
    assert all(severity[window] == ("page" if window in ("1h", "6h") else "ticket") for window in windows)


def test_a_clients_own_mistakes_burn_nothing(rules: Rules) -> None:
    series = traffic(bad_share=0.5, hours=2, status="422")
    assert firing(rules, series, "119m", "SentimentAvailabilityBudgetBurn") == []


def test_burn_that_has_ended_pages_no_more(rules: Rules) -> None:
    ended = {
        f'transformer_requests_total{{{NS},route="/predict",status="200"}}': "0+500x60 30000+600x30",
        f'transformer_requests_total{{{NS},route="/predict",status="503"}}': "0+100x60 6000+0x30",
    }
    windows = {found["window"] for found in firing(rules, ended, "88m", "SentimentAvailabilityBudgetBurn")}
    assert "1h" not in windows


def test_a_single_failure_at_night_is_no_page(rules: Rules) -> None:
    quiet = {
        f'transformer_requests_total{{{NS},route="/predict",status="200"}}': "0+1x120",
        f'transformer_requests_total{{{NS},route="/predict",status="503"}}': "0x60 1x60",
    }
    assert firing(rules, quiet, "70m", "SentimentAvailabilityBudgetBurn") == []


@pytest.mark.parametrize(
    ("alert", "outcome", "bound"),
    [("SentimentLatencyBudgetBurn", "miss", "0.25"), ("SentimentHitLatencyBudgetBurn", "hit", "0.005")],
)
def test_slow_answers_burn_the_latency_budget(rules: Rules, alert: str, outcome: str, bound: str) -> None:
    slow = latencies(outcome, slow_share=0.2, bound=bound, hours=2)
    assert "1h" in {found["window"] for found in firing(rules, slow, "119m", alert)}
    assert firing(rules, latencies(outcome, slow_share=0.005, bound=bound, hours=2), "119m", alert) == []


def test_objectives_lie_on_buckets_that_exist() -> None:
    from transformer.metrics import Metrics  # noqa: PLC0415 - only this test reads the code

    (family,) = [each for each in Metrics().collect() if each.name == "transformer_request_seconds"]
    bounds = {sample.labels["le"] for sample in family.samples if sample.name.endswith("_bucket")}
    asked = {bound for objective in OBJECTIVES for bound in re.findall(r'le="([^"]+)"', objective.bad)}
    assert asked
    assert asked <= bounds


@pytest.mark.parametrize("name", NAMES)
def test_every_alert_has_a_runbook_entry(name: str) -> None:
    entries = re.split(r"^## ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    entry = next((each for each in entries if each.splitlines()[0] == name), "")
    assert all(part in entry for part in ("**Means**", "**Look**", "**Do**")), name
    own = [rule for mode in MODES for group in alerts.groups(mode) for rule in group["rules"]]
    own = [rule for rule in own if rule.get("alert") == name]
    assert {rule["annotations"]["runbook"] for rule in own} == {f"{alerts.RUNBOOK}#{name.lower()}"}
