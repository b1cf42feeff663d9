"""What Knative Serving admits in a revision (source: its fieldmask.go and k8s_validation.go, version 1.21)."""

import re
from collections.abc import Iterator
from typing import Any

Fields = dict[str, Any]

_POD = {
    "automountServiceAccountToken",
    "containers",
    "enableServiceLinks",
    "imagePullSecrets",
    "serviceAccountName",
    "volumes",
}
# Pod fields behind a feature flag of config-features that is disabled by default.
_FLAGS = {
    "affinity": "kubernetes.podspec-affinity",
    "nodeSelector": "kubernetes.podspec-nodeselector",
    "priorityClassName": "kubernetes.podspec-priorityclassname",
    "securityContext": "kubernetes.podspec-securitycontext",
    "tolerations": "kubernetes.podspec-tolerations",
    "topologySpreadConstraints": "kubernetes.podspec-topologyspreadconstraints",
}
_CONTAINER = {
    "args", "command", "env", "envFrom", "image", "imagePullPolicy", "livenessProbe", "name", "ports", "readinessProbe",
    "resources", "securityContext", "startupProbe", "terminationMessagePath", "terminationMessagePolicy",
    "volumeMounts", "workingDir",
}  # fmt: skip
_SECURITY = {
    "allowPrivilegeEscalation", "capabilities", "privileged", "readOnlyRootFilesystem", "runAsGroup", "runAsNonRoot",
    "runAsUser", "seccompProfile",
}  # fmt: skip
_RESERVED_PORTS = {8008, 8012, 8013, 8022, 9090, 9091}
_RESERVED_ENV = {"PORT", "K_SERVICE", "K_CONFIGURATION", "K_REVISION"}
_DURATION = re.compile(r"(\d+)(s|m|h)")


def flags_needed(pod: Fields) -> set[str]:
    """Feature flags without which Knative refuses the pod."""
    needed = {_FLAGS[field] for field in pod if field in _FLAGS}
    for container in pod["containers"]:
        for entry in container.get("env", []):
            if {"fieldRef", "resourceFieldRef"} & entry.get("valueFrom", {}).keys():
                needed.add("kubernetes.podspec-fieldref")
    return needed


def refusals(pod: Fields, annotations: Fields) -> list[str]:
    """Why Knative would refuse the revision; empty when it would not."""
    return [*_pod(pod), *_annotations(annotations)]


def _pod(pod: Fields) -> Iterator[str]:
    for field in pod.keys() - _POD - _FLAGS.keys():
        yield f"{field} is not allowed"
    if pod.get("automountServiceAccountToken") is True:
        yield "automountServiceAccountToken may only be false"
    for volume in pod.get("volumes", []):
        if not {"emptyDir", "secret", "configMap", "projected"} & volume.keys():
            yield f"volume {volume['name']} is of a kind that needs a flag"
    for container in pod["containers"]:
        yield from _container(container)


def _container(container: Fields) -> Iterator[str]:
    for field in container.keys() - _CONTAINER:
        yield f"container field {field} is not allowed"
    for field in container.get("securityContext", {}).keys() - _SECURITY:
        yield f"securityContext.{field} is not allowed"
    for entry in container.get("env", []):
        if entry["name"] in _RESERVED_ENV:
            yield f"{entry['name']} is set by Knative"
    ports = container.get("ports", [])
    yield from _ports(ports)
    for name in ("readinessProbe", "startupProbe", "livenessProbe"):
        if name in container:
            yield from (f"{name}: {why}" for why in _probe(container[name], ports[0]["containerPort"]))


def _ports(ports: list[Fields]) -> Iterator[str]:
    if len(ports) != 1:
        yield "exactly one port is served"
    for port in ports:
        if port["containerPort"] in _RESERVED_PORTS:
            yield f"port {port['containerPort']} is queue-proxy's"
        if port.get("name", "") not in {"", "http1", "h2c"}:
            yield f"port name {port['name']} is not http1 or h2c"


def _probe(probe: Fields, port: int) -> Iterator[str]:
    if probe["httpGet"]["port"] != port:
        yield "its port is not the container's"
    if probe.get("periodSeconds", 0) < 1:
        yield "a period of 0 is Knative's aggressive probe"
    if probe.get("timeoutSeconds", 0) < 1 or probe.get("failureThreshold", 0) < 1:
        yield "timeoutSeconds and failureThreshold start at 1"


def _annotations(annotations: Fields) -> Iterator[str]:
    for key, value in annotations.items():
        name = key.removeprefix("autoscaling.knative.dev/")
        if not isinstance(value, str):
            yield f"{key} is not a string"
        elif name == "target-burst-capacity" and float(value) < 0 and value != "-1":
            yield f"{key}: {value} is below -1"
        elif name in {"scale-down-delay", "scale-to-zero-pod-retention-period"}:
            match = _DURATION.fullmatch(value)
            if not match or int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] > 3600:
                yield f"{key}: {value} is no duration of at most an hour"
