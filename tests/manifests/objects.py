"""Finding things in rendered manifests."""

from collections.abc import Callable, Iterator
from typing import Any

Document = dict[str, Any]
Render = Callable[..., list[Document]]
COMPONENTS = ("transformer", "predictor")


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    """All documents of a kind."""
    return [document for document in documents if document["kind"] == kind]


def the(documents: list[Document], kind: str, name: str) -> Document:
    """The one document of that kind and name."""
    (found,) = [document for document in of_kind(documents, kind) if document["metadata"]["name"] == name]
    return found


def component(documents: list[Document], name: str) -> Document:
    """`spec.transformer` or `spec.predictor` of the InferenceService."""
    spec: Document = the(documents, "InferenceService", "sentiment")["spec"][name]
    return spec


def container(documents: list[Document], name: str) -> Document:
    """The one container of a component."""
    (only,) = component(documents, name)["containers"]
    assert isinstance(only, dict)
    return only


def environment(documents: list[Document], name: str) -> dict[str, Any]:
    """Environment of a component's container: the value, or where it comes from."""
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container(documents, name)["env"]}


def pod_fields() -> set[str]:
    """Fields of a component that are its pod's; the others are KServe's."""
    from kubernetes.client import V1PodSpec  # noqa: PLC0415 - a second to import, and few tests need it

    return set(V1PodSpec.attribute_map.values())


def pod_templates(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Name, labels and pod spec of everything that becomes a pod."""
    for deployment in of_kind(documents, "Deployment"):
        yield deployment["metadata"]["name"], deployment["spec"]["template"]
    own = pod_fields()
    for name in COMPONENTS:
        spec = component(documents, name)
        labels = {"serving.kserve.io/inferenceservice": "sentiment", "component": name} | spec.get("labels", {})
        pod = {key: value for key, value in spec.items() if key in own}
        yield f"sentiment-{name}", {"metadata": {"labels": labels}, "spec": pod}


def deployments(documents: list[Document]) -> list[Document]:
    """The components as the Deployments that Knative makes of them, for tools that know no other kind."""
    made = []
    for name, template in pod_templates(documents):
        if name.removeprefix("sentiment-") not in COMPONENTS:
            continue
        made.append(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "namespace": "sentiment"},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": template["metadata"]["labels"]},
                    "template": template,
                },
            }
        )
    return made
