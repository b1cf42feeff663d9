"""Strict check of an InferenceService against the models of the kserve SDK, which are generated from its CRD."""

import re
from typing import Any

import kserve.models
import kubernetes.client

_PLAIN = {
    "str": str,
    "ResourceQuantity": str,
    "V1beta1MetricQuantity": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "object": object,
    "datetime": str,
}


def problems(value: Any, kind: str, path: str = "") -> list[str]:
    """What does not fit: `<path>: <sentence>`, empty when all fits; `kind` is a model's or a plain type's name."""
    if match := re.fullmatch(r"[lL]ist\[(.+)\]", kind):
        if not isinstance(value, list):
            return [f"{path}: not a list"]
        return [found for index, item in enumerate(value) for found in problems(item, match[1], f"{path}[{index}]")]
    if match := re.fullmatch(r"dict\(str, (.+)\)|Dict\[str, (.+)\]", kind):
        if not isinstance(value, dict):
            return [f"{path}: not a map"]
        return [found for key, item in value.items() for found in problems(item, match[1] or match[2], f"{path}.{key}")]
    if kind in _PLAIN:
        fits = isinstance(value, _PLAIN[kind]) and not (kind == "int" and isinstance(value, bool))
        return [] if fits else [f"{path}: {value!r} is no {kind}"]
    return _of_model(value, kind, path)


def _of_model(value: Any, kind: str, path: str) -> list[str]:
    # The generator writes Kubernetes' own types out with their group.
    plain = re.sub(r"^K8sIoApi(Apps|Autoscaling|Core)(?=V\d)", "", kind)
    model = getattr(kserve.models, plain, None) or getattr(kubernetes.client, plain)
    if not isinstance(value, dict):
        return [f"{path}: not a map"]
    types = {model.attribute_map[name]: kind for name, kind in model.openapi_types.items()}
    found = []
    for key, item in value.items():
        if key in types:
            found += problems(item, types[key], f"{path}.{key}")
        else:
            found.append(f"{path}.{key}: unknown field")
    return found
