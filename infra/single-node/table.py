"""Prints what each controller made of the InferenceService: ``table.py [--namespace NAME]``, Markdown.

Revisions that get no requests any more, and what is theirs, are left out. One section for each kind, in the order in
which one controller hands on to the next: whose each object is, its labels and annotations, and the fields in which a
surprise would show.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from parts.layout import Layout

# Kind to the fields that are shown; a name with dots leads inside.
KINDS: Mapping[str, tuple[str, ...]] = {
    "inferenceservices.serving.kserve.io": ("status.url", "status.address.url", "status.deploymentMode"),
    "virtualservices.networking.istio.io": ("spec.hosts", "spec.gateways", "spec.http"),
    "services.serving.knative.dev": ("spec.traffic", "spec.template.metadata", "status.url", "status.traffic"),
    "routes.serving.knative.dev": ("spec.traffic", "status.url"),
    "ingresses.networking.internal.knative.dev": ("spec.httpOption", "spec.rules", "status.publicLoadBalancer"),
    "httproutes.gateway.networking.k8s.io": ("spec.hostnames", "spec.parentRefs", "spec.rules"),
    "revisions.serving.knative.dev": ("spec.containerConcurrency", "spec.timeoutSeconds", "spec.containers"),
    "podautoscalers.autoscaling.internal.knative.dev": ("spec", "status.desiredScale", "status.metricsServiceName"),
    "serverlessservices.networking.internal.knative.dev": ("spec.mode", "spec.numActivators", "status"),
    "services": ("spec.type", "spec.externalName", "spec.ports", "spec.selector"),
    "deployments.apps": ("spec.replicas", "spec.strategy", "spec.template.metadata", "spec.template.spec"),
    "poddisruptionbudgets.policy": ("spec", "status.disruptionsAllowed"),
}
# Each change adds to these, and nobody learns from them.
NOISE = ("kubectl.kubernetes.io/last-applied-configuration", "serving.knative.dev/creator", "lastModifier")


def objects(kubeconfig: str, kind: str, namespace: str) -> list[dict[str, Any]]:
    """Ask the cluster for all objects of a kind."""
    command = ["kubectl", f"--kubeconfig={kubeconfig}", "get", kind, f"--namespace={namespace}", "--output=json"]
    command.append("--show-managed-fields")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return found


def retired(found: Iterable[Mapping[str, Any]]) -> set[str]:
    """Give the names of the revisions that no route leads to."""
    return {
        each["metadata"]["name"]
        for each in found
        if each["metadata"].get("labels", {}).get("serving.knative.dev/routingState") == "reserve"
    }


def lines(found: Mapping[str, Any], fields: tuple[str, ...]) -> Iterator[str]:
    """Say what an object is: one line for each thing."""
    metadata = found["metadata"]
    owners = [f"{owner['kind']} {owner['name']}" for owner in metadata.get("ownerReferences", ())]
    managers = sorted({entry["manager"] for entry in metadata.get("managedFields", ())})
    yield f"- **{metadata['name']}**, of {', '.join(owners) or 'nobody'}, written by {', '.join(managers) or 'nobody'}"
    for name in ("labels", "annotations"):
        for key, value in sorted(metadata.get(name, {}).items()):
            if not any(noise in key for noise in NOISE):
                yield f"  - {name[:-1]} `{key}: {value}`"
    for field in fields:
        value: Any = found
        for part in field.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else {}
        yield from _leaves(field, value)
    for condition in found.get("status", {}).get("conditions", ()):
        said = " ".join(condition.get(name, "") for name in ("reason", "message")).strip()
        yield f"  - condition {condition['type']}: {condition['status']} {said}".rstrip()


def _leaves(name: str, value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    elif isinstance(value, list) and any(isinstance(inner, dict) for inner in value):
        for inner in value:
            called = inner.get("name") if isinstance(inner, dict) else None
            yield from _leaves(f"{name}[{called or value.index(inner)}]", inner)
    else:
        yield f"  - `{name}` {value}"


def main() -> int:
    """Print all kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--namespace", default="sentiment")
    namespace = parser.parse_args().namespace
    try:
        kubeconfig = str(Layout().kubeconfig)
        out = retired(objects(kubeconfig, "revisions.serving.knative.dev", namespace))
        for kind, fields in KINDS.items():
            print(f"\n## {kind}\n")
            for found in objects(kubeconfig, kind, namespace):
                metadata = found["metadata"]
                if not out & {metadata["name"], metadata.get("labels", {}).get("serving.knative.dev/revision")}:
                    print("\n".join(lines(found, fields)))
    except subprocess.CalledProcessError as error:
        print(f"table: {error.stderr.strip()}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
