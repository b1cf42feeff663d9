"""The Autoscaling board, with the metric names that Knative has since its change to OpenTelemetry (1.19)."""

from manifests.components.monitoring.boards import NAMESPACE, Board, Panel, Query, Row, quantile, rate

# The autoscaler and the activator name the revision's namespace in a separate label.
_REVISION = 'k8s_namespace_name="$namespace"'


def _gauge(metric: str, legend: str) -> Query:
    expr = f"sum by (kn_revision_name) (kn_revision_{metric}{{{_REVISION}}})"
    return Query(expr, f"{{{{kn_revision_name}}}} {legend}")


_PODS = Row(
    "Pods",
    [
        Panel(
            title="Desired and available",
            says="Pods that the autoscaler wants, and pods that exist.",
            unit="short",
            queries=[_gauge("pods_desired", "desired"), _gauge("pods_count", "available")],
            width=12,
        ),
        Panel(
            title="Starting and stopping",
            says="Pods that wait for a node, start, or terminate.",
            unit="short",
            queries=[
                _gauge("pods_pending_count", "pending"),
                _gauge("pods_not_ready_count", "not ready"),
                _gauge("pods_terminating_count", "terminating"),
            ],
            width=12,
        ),
    ],
)

_WHY = Row(
    "Why",
    [
        Panel(
            title="Concurrency",
            says="The predictor scales on this: a minute's mean, the panic window's, and the target, per pod.",
            unit="short",
            queries=[
                _gauge("concurrency_stable", "stable"),
                _gauge("concurrency_panic", "panic"),
                _gauge("concurrency_target", "target"),
            ],
        ),
        Panel(
            title="Requests per second",
            says="The transformer scales on this.",
            unit="reqps",
            queries=[
                _gauge("rps_stable_per_second", "stable"),
                _gauge("rps_panic_per_second", "panic"),
                _gauge("rps_target_per_second", "target"),
            ],
        ),
        Panel(
            title="Panic mode",
            says="1 while the autoscaler adds pods for a burst and removes none.",
            unit="short",
            queries=[_gauge("panic_mode", "")],
        ),
        Panel(
            title="Spare burst capacity",
            says="Below zero the activator holds requests back.",
            unit="short",
            queries=[_gauge("capacity_excess", "")],
        ),
        Panel(
            title="In the activator",
            says="Requests that it forwards now, and that wait there for a pod.",
            unit="short",
            queries=[_gauge("request_concurrency", "under way"), _gauge("request_queued", "waiting")],
        ),
        Panel(
            title="Time to read the pods",
            says="How long the autoscaler takes to read the pods' metrics.",
            unit="s",
            queries=[
                Query(quantile(0.99, "kn_autoscaler_scrape_duration_seconds", where=_REVISION), "p99"),
            ],
        ),
    ],
)

_PODS_OWN = Row(
    "Queue-proxy",
    [
        Panel(
            title="Requests by status",
            says="As each pod's queue-proxy counts them.",
            unit="reqps",
            queries=[
                Query(
                    rate("kn_serving_invocation_duration_seconds_count", by="component, http_response_status_code"),
                    "{{component}} {{http_response_status_code}}",
                )
            ],
            stacked=True,
        ),
        Panel(
            title="Latency",
            says="Behind queue-proxy; its lowest bucket is 5 ms, too coarse for hits.",
            unit="s",
            queries=[
                Query(quantile(0.99, "kn_serving_invocation_duration_seconds", by="component"), "{{component}} p99")
            ],
        ),
        Panel(
            title="Waiting",
            says="Requests in queue-proxy: more than the pod may have at a time.",
            unit="short",
            queries=[Query(f"sum by (component) (kn_serving_queue_depth{{{NAMESPACE}}})", "{{component}}")],
        ),
    ],
)

AUTOSCALING = Board(
    uid="sentiment-autoscaling",
    title="Sentiment / Autoscaling",
    says="Pods desired and available, and why, for every revision.",
    rows=[_PODS, _WHY, _PODS_OWN],
    namespace_of="kn_revision_pods_count",
    namespace_label="k8s_namespace_name",
)
