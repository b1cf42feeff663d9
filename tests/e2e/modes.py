"""What of the run applies to which of KServe's deployment modes; the rest is left out by name, each with its reason."""

from collections.abc import Callable, Iterable, Mapping

from e2e.cluster import Document

Check = Callable[[], str]
ANNOTATION = "serving.kserve.io/deploymentMode"
# Mode to the checks that say nothing there, and why. A check that is not named applies.
LEFT_OUT: Mapping[str, Mapping[str, str]] = {
    "Knative": {
        "rollout": "Knative replaces pods by revisions, which `canary` sees",
        "pods leave": "queue-proxy drains a pod, which `scale-down` sees",
    },
    "Standard": {
        "canary": "`canaryTrafficPercent` is for Knative's revisions; `rollout` is what a change does here",
    },
}


def mode_of(documents: Iterable[Document]) -> str:
    """Give the deployment mode that the InferenceService asks for."""
    (service,) = (document for document in documents if document["kind"] == "InferenceService")
    mode: str = service["metadata"]["annotations"][ANNOTATION]
    return mode


def applicable(checks: Mapping[str, Check], *, mode: str, say: Callable[[str], object]) -> dict[str, Check]:
    """Give the checks that apply to a mode, in order; say which are left out and why."""
    reasons = LEFT_OUT[mode]
    for name in checks:
        if name in reasons:
            say(f"left out: {name}, since {reasons[name]}")
    return {name: check for name, check in checks.items() if name not in reasons}
