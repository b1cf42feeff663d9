"""What applies to a deployment mode of KServe and to the components; the rest is left out by name, with its reason."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from e2e.checks import payload_log
from e2e.cluster import MODE_ANNOTATION, Document
from e2e.stage import Check

_REVISIONS = "it waits for Knative's revisions"
# Mode to the checks that say nothing there, and why. A check that is not named applies.
LEFT_OUT: Mapping[str, Mapping[str, str]] = {
    "Knative": {
        "rollout": "Knative replaces pods by revisions, which `canary` sees",
        "pods leave": "queue-proxy drains a pod, which `scale-down` sees",
    },
    "Standard": {
        "canary": "`canaryTrafficPercent` is for Knative's revisions; `rollout` is what a change does here",
        "rollback": _REVISIONS,
        "secret rotation": _REVISIONS,
        "traces": _REVISIONS,
        "drain": f"{_REVISIONS}; `pods leave` is what an eviction does here",
        "overflow": "no queue-proxy refuses anything",
        "scale to zero": "a Deployment keeps one pod at least",
    },
}
OF_ISTIOS_GATEWAY = dict.fromkeys(
    ("sizes and rates", "api key", "jwt"), "it is for Istio's ingress gateway, and the HTTPRoute leads through another"
)
NO_LOGGER = (
    f"nothing logs to its sink: --component payload-logging --set log_sink={payload_log.URL} "
    f"--set log_sink_namespace={payload_log.NAMESPACE}"
)


def mode_of(documents: Iterable[Document]) -> str:
    """Give the deployment mode that the InferenceService asks for."""
    (service,) = (document for document in documents if document["kind"] == "InferenceService")
    mode: str = service["metadata"]["annotations"][MODE_ANNOTATION]
    return mode


def applicable(
    checks: Mapping[str, Check], documents: Sequence[Document], *, say: Callable[[str], object]
) -> dict[str, Check]:
    """Give the checks that apply to what was applied, in order; say which are left out and why."""
    reasons = dict(LEFT_OUT[mode_of(documents)])
    if any(document["kind"] == "HTTPRoute" for document in documents):
        reasons |= OF_ISTIOS_GATEWAY
    if not payload_log.is_asked_for(documents):
        reasons["payload log"] = NO_LOGGER
    for name in checks:
        if name in reasons:
            say(f"left out: {name}, since {reasons[name]}")
    return {name: check for name, check in checks.items() if name not in reasons}
