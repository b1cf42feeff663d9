"""kubectl in a namespace, and pods that run a Python program."""

import json
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import yaml
from parts.layout import Layout
from parts.versions import read_settings
from support.processes import REPO

SETTINGS = read_settings(REPO / "manifests" / "settings" / "settings.env")
# A Python, a shell's few programs and nobody's rights: what the service itself runs in.
IMAGE = f"{SETTINGS['registry']}/sentiment-transformer:{SETTINGS['tag']}"
RESTRICTED = "pod-security.kubernetes.io/enforce"


class Kubectl:
    """kubectl of the cluster's own version, in one namespace.

    Args:
        layout: the node's.
        namespace: where words without a namespace of their own act.
    """

    def __init__(self, *, layout: Layout, namespace: str = "default") -> None:
        self.command = [
            str(layout.binaries / "kubernetes"), "kubectl", f"--kubeconfig={layout.kubeconfig}",
            f"--namespace={namespace}",
        ]  # fmt: skip
        self.namespace = namespace

    def __call__(self, *words: str, given: str | None = None) -> str:
        done = self.tried(*words, given=given)
        assert done.returncode == 0, f"kubectl {' '.join(words)}: {done.stderr}"
        return done.stdout

    def tried(self, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it, whatever comes of it."""
        return subprocess.run([*self.command, *words], input=given, capture_output=True, text=True, check=False)

    def apply(self, *documents: Mapping[str, Any]) -> None:
        self("apply", "--filename=-", given=yaml.safe_dump_all(documents))

    def read(self, what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", what, "--output=json"))
        return found

    def run_to_its_end(self, document: Mapping[str, Any], *, timeout_s: float = 90) -> tuple[str, str]:
        """Run a pod; give its phase and what it printed."""
        self.apply(document)
        name = f"pod/{document['metadata']['name']}"
        limit_s = time.monotonic() + timeout_s
        while (phase := self.read(name)["status"]["phase"]) not in {"Succeeded", "Failed"}:
            assert time.monotonic() < limit_s, self("describe", name)
            time.sleep(0.5)
        return phase, self("logs", name)

    def wait_ready(self, *pods: str) -> None:
        self("wait", "--for=condition=Ready", "--timeout=90s", *(f"pod/{pod}" for pod in pods))


def pod(name: str, program: str, *, labels: Mapping[str, str] | None = None, port: int | None = None) -> dict[str, Any]:
    """A pod that Pod Security's `restricted` lets in, running a Python program."""
    container: dict[str, Any] = {
        "name": "main",
        "image": IMAGE,
        "command": ["python", "-uc", program],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "96Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }  # fmt: skip
    if port is not None:
        container["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }  # fmt: skip
