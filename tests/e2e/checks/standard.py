"""What the service has to do in Standard mode, where Kubernetes' own Deployments hold the pods."""

import time
from collections.abc import Mapping
from itertools import chain
from typing import Any

from e2e.cluster import Cluster
from e2e.stage import Stage, none_fails
from e2e.workloads import Workloads

COMPONENTS = ("transformer", "predictor")
# More requests a second than elsewhere: a gap of some hundred milliseconds has to show.
PER_S = 20.0


def rollout(stage: Stage) -> str:
    """A change replaces every pod of both components, and no request fails."""
    cluster = stage.cluster
    variable = {"name": "E2E_RUN", "value": str(time.time_ns())}
    with none_fails(stage.gateway, per_s=PER_S) as trickle:
        cluster.patch_service(
            [{"op": "add", "path": f"/spec/{part}/containers/0/env/-", "value": variable} for part in COMPONENTS]
        )
        cluster.wait(
            lambda: all(_rolled_out(cluster.deployment(part), variable) for part in COMPONENTS) and _settled(cluster),
            timeout_s=stage.limits.ready_s,
            what=lambda: f"pods are {cluster.pod_names()}; {cluster.not_ready()}",
        )
    return f"every pod of both components replaced; {trickle.asked} requests meanwhile, none failed"


def pods_leave(stage: Stage) -> str:
    """With two pods of each, one of each is deleted, and no request fails."""
    cluster, workloads = stage.cluster, Workloads(stage.cluster)
    least = {part: cluster.service()["spec"][part]["minReplicas"] for part in COMPONENTS}
    _hold(cluster, {part: max(2, count) for part, count in least.items()})
    try:
        cluster.wait(
            lambda: _settled(cluster) and all(cluster.ready_pods(part) >= 2 for part in COMPONENTS),
            timeout_s=stage.limits.ready_s,
            what=lambda: f"not two pods of each: {cluster.pod_names()}",
        )
        with none_fails(stage.gateway, per_s=PER_S) as trickle:
            leaving = [cluster.pods(part)[0] for part in COMPONENTS]
            gone = [pod.metadata.name for pod in leaving]
            for pod in leaving:
                workloads.delete(pod)
            cluster.wait(
                lambda: not set(gone) & set(chain.from_iterable(cluster.pod_names().values())) and _settled(cluster),
                timeout_s=stage.limits.ready_s,
                what=lambda: f"pods are {cluster.pod_names()}",
            )
    finally:
        _hold(cluster, least)
    return f"{' and '.join(gone)} deleted; {trickle.asked} requests meanwhile, none failed"


def _hold(cluster: Cluster, least: Mapping[str, int]) -> None:
    cluster.patch_service(
        [{"op": "replace", "path": f"/spec/{part}/minReplicas", "value": count} for part, count in least.items()]
    )


def _settled(cluster: Cluster) -> bool:
    """Say whether every pod there is is ready and stays."""
    return all(len(names) == cluster.ready_pods(part) for part, names in cluster.pod_names().items())


def _rolled_out(deployment: Mapping[str, Any], variable: Mapping[str, str]) -> bool:
    spec, status = deployment["spec"], deployment.get("status", {})
    return (
        variable in spec["template"]["spec"]["containers"][0].get("env", ())
        and status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("replicas") == status.get("updatedReplicas") == status.get("availableReplicas")
    )
