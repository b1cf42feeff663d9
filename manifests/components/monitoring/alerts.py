"""Recording and alerting rules. Every alert has an entry in runbook.md, under its name."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from manifests.components.monitoring.objectives import (
    BURNS,
    LEAST_REQUESTS_PER_S,
    OBJECTIVES,
    REQUESTS,
    REQUESTS_EXPR,
    WINDOWS,
    Objective,
)

RUNBOOK = "manifests/components/monitoring/runbook.md"
UNSURE = "0.6"
"""A best score up to this is a low-confidence answer, a bound of the transformer's bins."""
_SHIFT = 0.15
_HIT = 'outcome=~"hit_l1|hit_l2"'
_ASKED = 'outcome!="duplicate"'


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A condition, how long it has to last, and what to tell people."""

    name: str
    expr: str
    lasts_min: int
    severity: str
    summary: str
    slo: str | None = None
    window: str | None = None

    def rule(self) -> dict[str, Any]:
        """Write it as Prometheus reads it."""
        labels = {"severity": self.severity, "service": "sentiment", "slo": self.slo, "window": self.window}
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": f"{self.lasts_min}m",
            "labels": {name: value for name, value in labels.items() if value is not None},
            "annotations": {"summary": self.summary, "runbook": f"{RUNBOOK}#{self.name.lower()}"},
        }


def burns() -> Iterator[Alert]:
    """Give the burn-rate alerts: four pairs of windows for each objective."""
    for objective in OBJECTIVES:
        for long, short, factor, lasts_min, severity in BURNS:
            yield Alert(
                name=objective.alert,
                expr=_burn(objective, long, short, factor),
                lasts_min=lasts_min,
                severity=severity,
                slo=objective.name,
                window=long,
                summary=(
                    f"{{{{ $labels.namespace }}}}: over {long}, {{{{ $value | humanizePercentage }}}} of requests "
                    f"{objective.bad_means}; the objective allows {objective.budget:.1%}."
                ),
            )


def _burn(objective: Objective, long: str, short: str, factor: float) -> str:
    limit = round(factor * objective.budget, 6)
    return (
        f"{objective.recorded(long)} > {limit}"
        f" and on (namespace) {objective.recorded(short)} > {limit}"
        f" and on (namespace) {REQUESTS}{long} > {LEAST_REQUESTS_PER_S}"
    )


def _ratio(window: str) -> str:
    return (
        f"sum by (namespace) (rate(transformer_texts_total{{{_HIT}}}[{window}]))"
        f" / sum by (namespace) (rate(transformer_texts_total{{{_ASKED}}}[{window}]))"
    )


def _throttled(component: str) -> str:
    return (
        f"sum by (namespace, pod) (rate({component}_cpu_throttled_periods_total[5m]))"
        f" / sum by (namespace, pod) (rate({component}_cpu_periods_total[5m]))"
    )


def _revisions(gauge: str) -> str:
    return f'max by (k8s_namespace_name, kn_revision_name) (kn_revision_{gauge}{{kn_revision_name=~"sentiment-.+"}})'


def _pods(component: str) -> str:
    return (
        'label_replace(sum by (k8s_namespace_name) (kn_revision_pods_count{kn_revision_name=~"sentiment-'
        f'{component}-.+"}}), "namespace", "$1", "k8s_namespace_name", "(.+)")'
    )


def _deployments(figure: str) -> str:
    return (
        f'max by (namespace, deployment) (kube_deployment_{figure}{{deployment=~"sentiment-(transformer|predictor)"}})'
    )


def _running(component: str) -> str:
    return f'sum by (namespace) (kube_deployment_status_replicas_available{{deployment="sentiment-{component}"}})'


def _autoscalers(figure: str) -> str:
    # KEDA calls the autoscaler that it makes `keda-hpa-sentiment-...`.
    return (
        f"max by (namespace, horizontalpodautoscaler) (kube_horizontalpodautoscaler_{figure}"
        '{horizontalpodautoscaler=~"(keda-hpa-)?sentiment-.+"})'
    )


def _label_share(window: str) -> str:
    answers = f"rate(transformer_answers_total[{window}])"
    return f"sum by (namespace, label) ({answers}) / on (namespace) group_left () sum by (namespace) ({answers})"


def _unsure_share(window: str) -> str:
    unsure, every = (
        f'sum by (namespace) (rate(transformer_answer_score_bucket{{le="{bound}"}}[{window}]))'
        for bound in (UNSURE, "+Inf")
    )
    return f"{unsure} / {every}"


SYMPTOMS = (
    Alert(
        name="SentimentCacheDegraded",
        expr="sum by (namespace) (transformer_degraded) > 0",
        lasts_min=5,
        severity="ticket",
        summary="{{ $labels.namespace }}: {{ $value }} transformers cannot fully use Redis; there will be fewer hits.",
    ),
    Alert(
        name="SentimentHitRatioDrop",
        expr=(
            f"{_ratio('15m')} < 0.7 * ({_ratio('1d')})"
            f" and on (namespace) sum by (namespace) (rate(transformer_texts_total{{{_ASKED}}}[15m])) > 1"
        ),
        lasts_min=15,
        severity="ticket",
        summary=(
            "{{ $labels.namespace }}: {{ $value | humanizePercentage }} of texts were cached, far less than over the "
            "last day."
        ),
    ),
    Alert(
        name="SentimentPredictorShedding",
        expr=(
            'sum by (namespace) (rate(predictor_shed_total{reason!~"client_gone|shutting_down"}[5m]))'
            " / sum by (namespace) (rate(predictor_requests_total[5m])) > 0.01"
        ),
        lasts_min=5,
        severity="page",
        summary="{{ $labels.namespace }}: the predictor refuses {{ $value | humanizePercentage }} of what reaches it.",
    ),
    Alert(
        name="SentimentPredictorQueueOld",
        expr="max by (namespace, pod) (predictor_queue_age_seconds) > 2",
        lasts_min=5,
        severity="ticket",
        summary="{{ $labels.pod }}: a text has waited {{ $value | humanizeDuration }} for the engine.",
    ),
    Alert(
        name="SentimentThrottled",
        expr=f"{_throttled('predictor')} > 0.1 or {_throttled('transformer')} > 0.1",
        lasts_min=15,
        severity="ticket",
        summary="{{ $labels.pod }}: the CPU quota ran out in {{ $value | humanizePercentage }} of its periods.",
    ),
    Alert(
        name="SentimentModelVersionsDiffer",
        expr="count by (namespace) (count by (namespace, version) (transformer_model_info)) > 1",
        lasts_min=30,
        severity="ticket",
        summary="{{ $labels.namespace }}: {{ $value }} model versions are in force; a rollout has not finished.",
    ),
    Alert(
        name="SentimentAnswersShifted",
        expr=(
            f"(0.5 * sum by (namespace) (abs(({_label_share('1h')}) - ({_label_share('7d')}))) > {_SHIFT}"
            f" or abs(({_unsure_share('1h')}) - ({_unsure_share('7d')})) > {_SHIFT})"
            f" and on (namespace) sum by (namespace) (rate(transformer_answers_total[1h])) > 1"
        ),
        lasts_min=30,
        severity="ticket",
        summary=(
            "{{ $labels.namespace }}: the last hour's answers differ from the week's by "
            "{{ $value | humanizePercentage }}; the texts or the model have changed."
        ),
    ),
    Alert(
        name="SentimentGatewayErrors",
        expr=(
            'sum by (destination_service_namespace) (rate(istio_requests_total{reporter="source",'
            'source_workload="istio-ingressgateway",response_code=~"5.."}[5m]))'
            ' / sum by (destination_service_namespace) (rate(istio_requests_total{reporter="source",'
            'source_workload="istio-ingressgateway"}[5m])) > 0.02'
        ),
        lasts_min=5,
        severity="page",
        summary=(
            "{{ $labels.destination_service_namespace }}: the gateway answers "
            "{{ $value | humanizePercentage }} of requests with a 5xx."
        ),
    ),
    Alert(
        name="SentimentCertificateExpiring",
        expr=(
            "min by (name, exported_namespace) (certmanager_certificate_expiration_timestamp_seconds - time())"
            " < 14 * 86400"
        ),
        lasts_min=60,
        severity="ticket",
        summary="Certificate {{ $labels.name }} expires in {{ $value | humanizeDuration }} and has not been renewed.",
    ),
)

KNATIVE = (
    Alert(
        name="SentimentPanicMode",
        expr=f"{_revisions('panic_mode')} > 0",
        lasts_min=10,
        severity="ticket",
        summary="{{ $labels.kn_revision_name }} has been in panic mode for ten minutes: too few pods for the load.",
    ),
    Alert(
        name="SentimentPodsMissing",
        expr=f"{_revisions('pods_desired')} > {_revisions('pods_count')}",
        lasts_min=15,
        severity="ticket",
        summary="{{ $labels.kn_revision_name }} should have {{ $value }} pods and has fewer.",
    ),
    Alert(
        name="SentimentMetricsAbsent",
        expr=(
            f"({_pods('transformer')} > 0 unless on (namespace) sum by (namespace) (transformer_in_flight))"
            f" or ({_pods('predictor')} > 0 unless on (namespace) sum by (namespace) (predictor_threads))"
        ),
        lasts_min=10,
        severity="ticket",
        summary="{{ $labels.namespace }}: nothing is scraped from running pods; alerts on their metrics cannot fire.",
    ),
    Alert(
        name="SentimentPlatformMetricsAbsent",
        expr="absent(kn_revision_pods_count)",
        lasts_min=15,
        severity="ticket",
        summary="Knative's autoscaler exports no metrics: scaling cannot be monitored.",
    ),
)

STANDARD = (
    Alert(
        name="SentimentPodsMissing",
        expr=f"{_deployments('spec_replicas')} > {_deployments('status_replicas_available')}",
        lasts_min=15,
        severity="ticket",
        summary="{{ $labels.deployment }} should have {{ $value }} pods and has fewer.",
    ),
    Alert(
        name="SentimentAtMaximum",
        expr=f"{_autoscalers('status_desired_replicas')} >= {_autoscalers('spec_max_replicas')}",
        lasts_min=15,
        severity="ticket",
        summary="{{ $labels.horizontalpodautoscaler }} has been at its maximum, {{ $value }} pods, for 15 minutes.",
    ),
    Alert(
        name="SentimentMetricsAbsent",
        expr=(
            f"({_running('transformer')} > 0 unless on (namespace) sum by (namespace) (transformer_in_flight))"
            f" or ({_running('predictor')} > 0 unless on (namespace) sum by (namespace) (predictor_threads))"
        ),
        lasts_min=10,
        severity="ticket",
        summary="{{ $labels.namespace }}: nothing is scraped from running pods; alerts on their metrics cannot fire.",
    ),
    Alert(
        name="SentimentPlatformMetricsAbsent",
        expr='absent(kube_deployment_spec_replicas{deployment=~"sentiment-.+"})',
        lasts_min=15,
        severity="ticket",
        summary="kube-state-metrics exports nothing about the Deployments: scaling cannot be monitored.",
    ),
)

Mode = Literal["knative", "standard"]


def groups(mode: Mode = "knative") -> list[dict[str, Any]]:
    """Give the rule groups in Prometheus's own form, for one of KServe's deployment modes."""
    recorded = [
        {"record": objective.recorded(window), "expr": objective.ratio(window)}
        for objective in OBJECTIVES
        for window in WINDOWS
    ]
    traffic = [
        {"record": f"{REQUESTS}{window}", "expr": REQUESTS_EXPR.replace("{window}", window)}
        for window in dict.fromkeys(long for long, *_ in BURNS)
    ]
    symptoms = SYMPTOMS + (KNATIVE if mode == "knative" else STANDARD)
    return [
        {"name": "sentiment-objectives", "interval": "30s", "rules": recorded + traffic},
        {"name": "sentiment-budgets", "interval": "30s", "rules": [alert.rule() for alert in burns()]},
        {"name": "sentiment-symptoms", "interval": "30s", "rules": [alert.rule() for alert in symptoms]},
    ]
