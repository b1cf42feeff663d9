"""Who cannot reach what: policies of the network and of pods' rights."""

import json
from typing import Any

from e2e.checks.gateway_rules import asked_inside
from e2e.cluster import path_of
from e2e.stage import CheckError, Stage
from e2e.workloads import Workloads
from kubernetes.client.exceptions import ApiException

_INFER = json.dumps({"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]})


def predictor_unreachable(stage: Stage) -> str:
    """From outside no host leads to the predictor, and another namespace's pods reach none of the service's."""
    gateway, cluster = stage.gateway, stage.cluster
    name, namespace = cluster.name, cluster.namespace
    domain = gateway.host.split(".", 2)[2]
    hosts = [
        f"{name}-predictor.{namespace}.{domain}",
        f"{name}-predictor.{namespace}",
        f"{name}-predictor.{namespace}.svc",
        f"{name}-predictor.{namespace}.svc.cluster.local",
        f"{name}-predictor-private.{namespace}.svc.cluster.local",
        "knative-local-gateway.istio-system.svc.cluster.local",
    ]
    outside = {host: gateway.ask("POST", "/v2/models/sentiment/infer", _INFER, {"host": host}).status for host in hosts}
    if set(outside.values()) - {403, 404, 421}:
        raise CheckError(f"from outside the predictor's names are answered {outside}")
    workloads = Workloads(cluster)
    pods = {component: cluster.pods(component) for component in ("transformer", "predictor")}
    addresses = [
        f"{pod.status.pod_ip}:{port}" for found in pods.values() for pod in found for port in (8080, 8012, 9090, 9091)
    ]
    redis = workloads.pods(namespace, "app.kubernetes.io/name=redis,app.kubernetes.io/part-of=sentiment")
    addresses += [f"{pod.status.pod_ip}:{port}" for pod in redis for port in (6379, 9121)]
    # Whoever reaches nothing at all proves nothing.
    way_in = gateway.connection()
    open_one = f"{way_in.host}:{way_in.port}"
    program = f"""
import json, socket
from concurrent.futures import ThreadPoolExecutor

def reached(address):
    host, port = address.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=4).close()
    except OSError:
        return None
    return address

addresses = {[open_one, *addresses]!r}
with ThreadPoolExecutor(len(addresses)) as several:
    print(json.dumps([each for each in several.map(reached, addresses) if each]))
"""
    with workloads.namespace() as other:
        reached = json.loads(workloads.run(other, program))
    if reached != [open_one]:
        raise CheckError(
            f"a pod of another namespace reached {reached}, and should reach the gateway, {open_one}, alone"
        )
    if cluster.mode == "Knative" and (status := asked_inside(stage)) != 200:
        raise CheckError(f"a pod of another namespace got {status} from the service itself")
    return f"{len(hosts)} names closed from outside, {len(addresses)} ports from another namespace"


def pods_are_restricted(stage: Stage) -> str:
    """The namespace enforces `restricted`, no running pod would be warned of, and one with more rights is refused."""
    cluster = stage.cluster
    found: Any = cluster.core.read_namespace(cluster.namespace)
    labels = found.metadata.labels
    level = labels.get("pod-security.kubernetes.io/enforce")
    if level != "restricted":
        raise CheckError(f"the namespace enforces {level}")
    version = cluster.version()
    # Another version of the same rules: only then the API server looks at the pods that run.
    document = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": cluster.namespace,
            "labels": {**labels, "pod-security.kubernetes.io/enforce-version": version},
        },
    }
    warned = cluster.dry_run(document)
    pods = cluster.core.list_namespaced_pod(cluster.namespace).items
    if warned or not pods:
        raise CheckError(f"of {len(pods)} pods: {warned}")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "e2e-root", "namespace": cluster.namespace},
        "spec": {"containers": [{"name": "main", "image": "none", "securityContext": {"privileged": True}}]},
    }
    try:
        cluster.dry_run(pod)
    except ApiException as error:
        if error.status == 403 and "PodSecurity" in str(error.body):
            return f"none of {len(pods)} pods is warned of under {version}; a privileged one is refused"
        raise
    raise CheckError(f"a privileged pod was let in at {path_of(pod)}")
