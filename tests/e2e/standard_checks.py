"""What the service has to do in Standard mode, where Kubernetes' own Deployments hold the pods."""

import time
from collections.abc import Mapping
from typing import Any

from e2e.checks import Limits, none_failed
from e2e.cluster import Cluster
from e2e.gateway import Gateway, Trickle

COMPONENTS = ("transformer", "predictor")
# More requests a second than elsewhere: a gap of some hundred milliseconds has to show.
PER_S = 20.0


def rollout(cluster: Cluster, gateway: Gateway, limits: Limits) -> str:
    """A change replaces every pod of both components, and no request fails."""
    mark = str(time.time_ns())
    variable = {"name": "E2E_RUN", "value": mark}
    with Trickle(gateway, per_s=PER_S) as trickle:
        cluster.patch_service(
            [{"op": "add", "path": f"/spec/{part}/containers/0/env/-", "value": variable} for part in COMPONENTS]
        )
        cluster.wait(
            lambda: all(_rolled_out(cluster.deployment(part), variable) for part in COMPONENTS) and _settled(cluster),
            timeout_s=limits.ready_s,
            what=lambda: f"pods are {cluster.pods()}; {cluster.not_ready()}",
        )
    return none_failed(trickle, "every pod of both components replaced")


def pods_leave(cluster: Cluster, gateway: Gateway, limits: Limits) -> str:
    """With two pods of each, one of each is deleted, and no request fails."""
    least = {part: cluster.service()["spec"][part]["minReplicas"] for part in COMPONENTS}
    _hold(cluster, {part: max(2, count) for part, count in least.items()})
    try:
        cluster.wait(
            lambda: _settled(cluster) and all(cluster.ready_pods(part) >= 2 for part in COMPONENTS),
            timeout_s=limits.ready_s,
            what=lambda: f"not two pods of each: {cluster.pods()}",
        )
        with Trickle(gateway, per_s=PER_S) as trickle:
            gone = [min(cluster.pods()[part]) for part in COMPONENTS]
            for name in gone:
                cluster.delete_pod(name)
            cluster.wait(
                lambda: (
                    not set(gone) & {name for names in cluster.pods().values() for name in names} and _settled(cluster)
                ),
                timeout_s=limits.ready_s,
                what=lambda: f"pods are {cluster.pods()}",
            )
    finally:
        _hold(cluster, least)
    return none_failed(trickle, f"{' and '.join(gone)} deleted")


def _hold(cluster: Cluster, least: Mapping[str, int]) -> None:
    cluster.patch_service(
        [{"op": "replace", "path": f"/spec/{part}/minReplicas", "value": count} for part, count in least.items()]
    )


def _settled(cluster: Cluster) -> bool:
    """Say whether every pod there is is ready and stays."""
    return all(len(names) == cluster.ready_pods(part) for part, names in cluster.pods().items())


def _rolled_out(deployment: Mapping[str, Any], variable: Mapping[str, str]) -> bool:
    spec, status = deployment["spec"], deployment.get("status", {})
    return (
        variable in spec["template"]["spec"]["containers"][0].get("env", ())
        and status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("replicas") == status.get("updatedReplicas") == status.get("availableReplicas")
    )
