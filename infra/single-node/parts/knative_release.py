"""Knative's manifests as its operator carries them, made fit for a node that pulls nothing and has two CPUs."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

RELEASE = "gcr.io/knative-releases/knative.dev"
# The program behind each image, by the path that the image is named after.
PROGRAMS = {
    "serving/cmd/activator": "knative-activator",
    "serving/cmd/autoscaler": "knative-autoscaler",
    "serving/cmd/controller": "knative-controller",
    "serving/cmd/queue": "knative-queue",
    "serving/cmd/webhook": "knative-webhook",
    "serving/pkg/cleanup/cmd/cleanup": "knative-cleanup",
    "pkg/apiextensions/storageversion/cmd/migrate": "knative-migrate",
    "net-gateway-api/cmd/controller": "net-gateway-api-controller",
    "net-gateway-api/cmd/webhook": "net-gateway-api-webhook",
}
# Each Deployment of the platform asks for this much; together with the service two CPUs are enough.
CPU_REQUEST = "20m"


def carried(operator: Path, *, version: str, images: Mapping[str, str]) -> dict[str, bytes]:
    """Give the files that the operator's image carries for one version, with this node's images.

    Args:
        operator: the folder of the operator's module.
        version: of Knative Serving.
        images: program to image.
    """
    source = operator / "cmd" / "operator" / "kodata"
    minor = version.rsplit(".", 1)[0]
    files = {}
    for path in sorted((source / "knative-serving" / version).iterdir()):
        # The class of autoscaler that nothing here uses.
        if "hpa" not in path.name:
            files[f"knative-serving/{version}/{path.name}"] = _written(_fit(path.read_text(), images))
    text = (source / "ingress" / minor / "istio" / "net-istio.yaml").read_text()
    files[f"ingress/{minor}/istio/net-istio.yaml"] = _written(_without_net_istio(_fit(text, images)))
    return files


def gateway_api_controller(module: Path, *, images: Mapping[str, str]) -> str:
    """Give the objects of net-gateway-api, which stands where net-istio does on other clusters."""
    text = "\n---\n".join(path.read_text() for path in sorted((module / "config").glob("*.yaml")))
    documents = list(_fit(text.replace("ko://knative.dev", RELEASE), images))
    for document in documents:
        if document["kind"] == "ConfigMap":
            document["data"] = yaml.safe_load(document["data"]["_example"])
    return _written(iter(documents)).decode()


def _fit(text: str, images: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    text = re.sub(rf"{re.escape(RELEASE)}/([\w./-]+)(@sha256:[0-9a-f]+)?", lambda found: _image(found, images), text)
    for document in yaml.safe_load_all(text):
        # Autoscalers of the platform's own parts work in shares of the requests, which are small here.
        if document and document["kind"] != "HorizontalPodAutoscaler":
            if document["kind"] == "Deployment":
                for container in document["spec"]["template"]["spec"]["containers"]:
                    container["resources"]["requests"]["cpu"] = CPU_REQUEST
            yield document


def _image(found: re.Match[str], images: Mapping[str, str]) -> str:
    program = PROGRAMS.get(found[1])
    return found[0] if program is None else images[program]


def _without_net_istio(documents: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Keep the gateways, leave out the controller that no module serves, and its webhook."""
    for document in documents:
        if not document["metadata"]["name"].startswith("net-istio-") and "Webhook" not in document["kind"]:
            yield document


def _written(documents: Iterator[dict[str, Any]]) -> bytes:
    return yaml.safe_dump_all(documents, sort_keys=False).encode()
