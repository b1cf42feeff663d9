"""Pods on a cluster: deleted, killed, evicted, looked into, and some of our own that run a Python program."""

import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from e2e.cluster import Cluster, ClusterError, Pod, serves
from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

_RESTRICTED = "pod-security.kubernetes.io/enforce"


class Workloads:
    """Pods and Deployments of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._core = cluster.core
        self._apps: Any = client.AppsV1Api()

    def delete(self, pod: Pod) -> None:
        """End a pod as a rollout does: it is told, and has its grace period."""
        self._core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace)

    def kill(self, pod: Pod) -> None:
        """End a pod at once, without a word to it."""
        self._core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0)

    def evict(self, pod: Pod) -> bool:
        """Ask for a pod to go, as a drained node does; False where a disruption budget forbids it now."""
        name, namespace = pod.metadata.name, pod.metadata.namespace
        body = client.V1Eviction(metadata=client.V1ObjectMeta(name=name, namespace=namespace))
        try:
            self._core.create_namespaced_pod_eviction(name, namespace, body)
        except ApiException as error:
            if error.status == 429:
                return False
            if error.status != 404:
                raise
        return True

    def pods(self, namespace: str, labels: str) -> list[Pod]:
        """Give the pods that are Ready and not on their way out."""
        return [pod for pod in self.all_pods(namespace, labels) if serves(pod)]

    def all_pods(self, namespace: str, labels: str = "") -> list[Pod]:
        """Give all pods, those that start and those that leave among them."""
        found: list[Pod] = self._core.list_namespaced_pod(namespace, label_selector=labels).items
        return found

    def logs(self, pod: Pod, container: str) -> str:
        """Give what a container has said."""
        said: str = self._core.read_namespaced_pod_log(pod.metadata.name, pod.metadata.namespace, container=container)
        return said

    def inside(self, pod: Pod, program: str, container: str = "kserve-container") -> str:
        """Run a Python program in a pod's container; give what it prints."""
        said: str = stream(
            self._core.connect_get_namespaced_pod_exec,
            pod.metadata.name,
            pod.metadata.namespace,
            container=container,
            command=["python", "-c", program],
            stdout=True,
            stderr=True,
        )
        return said

    def scale(self, namespace: str, deployment: str, replicas: int) -> None:
        """Set how many pods a Deployment has."""
        body = {"spec": {"replicas": replicas}}
        self._apps.patch_namespaced_deployment_scale(deployment, namespace, body)

    def restart(self, namespace: str, deployment: str) -> None:
        """Make a Deployment's pods anew, as ``kubectl rollout restart`` does, and wait for them."""
        template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": str(time.time_ns())}}}
        self._apps.patch_namespaced_deployment(deployment, namespace, {"spec": {"template": template}})
        self.wait_rolled_out(namespace, deployment)

    def wait_rolled_out(self, namespace: str, deployment: str, *, timeout_s: float = 180) -> None:
        """Wait until all of a Deployment's pods are the newest and available."""

        def done() -> bool:
            found = self._apps.read_namespaced_deployment(deployment, namespace)
            status, wanted = found.status, found.spec.replicas
            seen = (status.observed_generation or 0) >= found.metadata.generation
            counts = (status.replicas or 0, status.updated_replicas or 0, status.available_replicas or 0)
            return seen and counts == (wanted, wanted, wanted)

        self._cluster.wait(done, timeout_s=timeout_s, what=lambda: f"Deployment {namespace}/{deployment} not available")

    @contextmanager
    def namespace(self) -> Iterator[str]:
        """Make a namespace for a block, in which Pod Security's ``restricted`` holds."""
        name = f"e2e-{uuid.uuid4().hex[:8]}"
        metadata = client.V1ObjectMeta(name=name, labels={_RESTRICTED: "restricted"})
        self._core.create_namespace(client.V1Namespace(metadata=metadata))
        try:
            yield name
        finally:
            self._core.delete_namespace(name)

    def start(self, namespace: str, name: str, program: str, *, port: int | None = None) -> Pod:
        """Start a pod that runs a Python program; with a port, wait until it listens there, and give it a Service."""
        self._core.create_namespaced_pod(namespace, self._program(name, program, port))
        if port is not None:
            service = {"metadata": {"name": name}, "spec": {"selector": {"app": name}, "ports": [{"port": port}]}}
            self._core.create_namespaced_service(namespace, service)
            self._wait_phase(namespace, name, {"Running"}, ready=True)
        return self._core.read_namespaced_pod(name, namespace)

    def run(self, namespace: str, program: str, *, timeout_s: float = 90) -> str:
        """Run a Python program in a pod of its own; give what it printed, raise ClusterError if it fails."""
        name = f"run-{uuid.uuid4().hex[:8]}"
        self.start(namespace, name, program)
        phase = self._wait_phase(namespace, name, {"Succeeded", "Failed"}, timeout_s=timeout_s)
        said: str = self._core.read_namespaced_pod_log(name, namespace)
        if phase == "Failed":
            raise ClusterError(f"a pod's program failed: {said.strip()[-300:]}")
        return said

    def _wait_phase(
        self, namespace: str, name: str, phases: set[str], *, ready: bool = False, timeout_s: float = 90
    ) -> str:
        found: list[str] = []

        def done() -> bool:
            pod = self._core.read_namespaced_pod(name, namespace)
            found.append(pod.status.phase)
            return pod.status.phase in phases and (not ready or serves(pod))

        self._cluster.wait(done, timeout_s=timeout_s, what=lambda: f"pod {namespace}/{name} is {found[-1]}")
        return found[-1]

    def _program(self, name: str, program: str, port: int | None) -> Mapping[str, Any]:
        # What the service itself runs in has a Python, and the cluster has it.
        image = self._cluster.service()["spec"]["transformer"]["containers"][0]["image"]
        container: dict[str, Any] = {
            "name": "main",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-uc", program],
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "96Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
            },
        }  # fmt: skip
        if port is not None:
            container["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 1}
        return {
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 0,
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
            },
        }  # fmt: skip
