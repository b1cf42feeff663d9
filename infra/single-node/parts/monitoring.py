"""Prometheus on the node: its operator out of the module's own bundle, and one Prometheus under it."""

import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

import yaml

NAMESPACE = "monitoring"
OBJECTS = Path(__file__).resolve().parents[1] / "objects" / "prometheus.yaml"


def operator(module: Path, *, images: Mapping[str, str]) -> str:
    """Give the operator's objects, in the namespace that the platform has for monitoring.

    Args:
        module: the folder of the operator's module.
        images: of ``prometheus-operator`` and ``prometheus-config-reloader``.
    """
    text = (module / "bundle.yaml").read_text()
    for program, image in images.items():
        text = re.sub(rf"quay\.io/prometheus-operator/{program}:[\w.]+", image, text)
    # The definitions stay as they are written: they hold a lone `=`, which PyYAML does not read.
    return "\n---\n".join(
        part if "\nkind: CustomResourceDefinition\n" in part else _moved(part) for part in text.split("\n---\n")
    )


def _moved(text: str) -> str:
    document = yaml.safe_load(text)
    for named in (document["metadata"], *document.get("subjects", ())):
        if named.get("namespace") == "default":
            named["namespace"] = NAMESPACE
    if document["kind"] == "Deployment":
        document["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "20m"
    return yaml.safe_dump(document)


def objects(*, version: str) -> str:
    """Give the Prometheus and its rights."""
    return Template(OBJECTS.read_text()).substitute(PROMETHEUS_VERSION=version)
