"""The Scaling board: pods and their autoscaler in KServe's Standard mode, as kube-state-metrics counts them."""

from manifests.components.monitoring.boards import NAMESPACE, Board, Panel, Query, Row, rate

_DEPLOYMENTS = f'{NAMESPACE},deployment=~"sentiment-(transformer|predictor)"'
_AUTOSCALERS = f'{NAMESPACE},horizontalpodautoscaler=~"(keda-hpa-)?sentiment-.+"'
_REQUESTED = f'kube_pod_container_resource_requests{{{NAMESPACE},resource="cpu",container="kserve-container"}}'


def _pods(figure: str, legend: str) -> Query:
    expr = f"sum by (deployment) (kube_deployment_{figure}{{{_DEPLOYMENTS}}})"
    return Query(expr, f"{{{{deployment}}}} {legend}")


def _autoscaler(figure: str, legend: str) -> Query:
    expr = f"max by (horizontalpodautoscaler) (kube_horizontalpodautoscaler_{figure}{{{_AUTOSCALERS}}})"
    return Query(expr, f"{{{{horizontalpodautoscaler}}}} {legend}")


_PODS = Row(
    "Pods",
    [
        Panel(
            title="Desired and available",
            says="Pods that the Deployments want, and pods that are available.",
            unit="short",
            queries=[_pods("spec_replicas", "desired"), _pods("status_replicas_available", "available")],
            width=12,
        ),
        Panel(
            title="Autoscaler",
            says="Pods that it wants, and the most that it may have.",
            unit="short",
            queries=[_autoscaler("status_desired_replicas", "desired"), _autoscaler("spec_max_replicas", "maximum")],
            width=12,
        ),
    ],
)

_WHY = Row(
    "Why",
    [
        Panel(
            title="CPU against the request",
            says="Share of the CPU that the pods requested, which a plain autoscaler follows.",
            unit="percentunit",
            queries=[Query(f"{rate('process_cpu_seconds_total')} / sum({_REQUESTED})", "in use")],
        ),
        Panel(
            title="Requests waiting",
            says="Requests under way in the transformers, nearly all of them misses: KEDA's first measure.",
            unit="short",
            queries=[Query(f"sum(transformer_in_flight{{{NAMESPACE}}})", "under way")],
        ),
        Panel(
            title="Tokens queued",
            says=(
                "Tokens that wait for an engine, by pod: KEDA's second measure. Large differences mean that "
                "connections stay on the same pods."
            ),
            unit="short",
            queries=[Query(f"sum by (pod) (predictor_queue_tokens{{{NAMESPACE}}})", "{{pod}}")],
        ),
    ],
)

SCALING = Board(
    uid="sentiment-scaling",
    title="Sentiment / Scaling",
    says="Pods desired and available, and why, in Standard mode.",
    rows=[_PODS, _WHY],
    namespace_of="transformer_in_flight",
)
