"""Pods come with load and go without it, to zero where that is asked for."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from e2e.gateway import Gateway
from e2e.stage import CheckError, Stage, none_fails

ROOT = Path(__file__).resolve().parents[3]


def scale_out(stage: Stage) -> str:
    """Load brings more predictors, and is answered."""
    cluster = stage.cluster
    before = most = cluster.ready_pods("predictor")
    with _Background(lambda: stage.load(stage.gateway)) as running:
        deadline_s = time.monotonic() + stage.limits.scale_out_s
        while running.going and time.monotonic() < deadline_s:
            most = max(most, cluster.ready_pods("predictor"))
            time.sleep(1)
    if running.status != 0:
        raise CheckError(f"the load ended with {running.status}: its thresholds are above")
    if most <= before:
        raise CheckError(f"there were {before} predictors before the load and never more")
    return f"{before} predictors became {most}"


def scale_down(stage: Stage) -> str:
    """When the load is over pods go, and no request is lost on the way."""
    cluster, began_s = stage.cluster, time.monotonic()
    most = {component: cluster.ready_pods(component) for component in stage.at_rest}
    if most["predictor"] <= stage.at_rest["predictor"]:
        raise CheckError(f"no more predictors than at rest ({most['predictor']}): nothing to see here")
    with none_fails(stage.gateway) as trickle:
        for component, pods in stage.at_rest.items():
            cluster.wait(
                lambda component=component, pods=pods: cluster.ready_pods(component) <= pods,
                timeout_s=stage.limits.scale_down_s,
                what=lambda component=component: f"{cluster.ready_pods(component)} pods of {component}",
            )
    words = ", ".join(f"{most[component]} {component}s to {pods}" for component, pods in stage.at_rest.items())
    return f"{words} in {time.monotonic() - began_s:.0f} s; {trickle.asked} requests meanwhile, none failed"


def scale_to_zero_and_back(stage: Stage) -> str:
    """Without requests nothing runs; the first one is answered after two cold starts, and then known."""
    cluster, limits = stage.cluster, stage.limits
    cold_s: dict[str, float] = {}
    for component in ("predictor", "transformer"):
        operations = [
            {"op": "add", "path": f"/spec/{component}/minReplicas", "value": 0},
            {
                "op": "add",
                "path": f"/spec/{component}/annotations/autoscaling.knative.dev~1scale-to-zero-pod-retention-period",
                "value": "0s",
            },
        ]
        with cluster.changed(operations, component=component, timeout_s=limits.ready_s):
            cluster.wait(
                lambda component=component: not cluster.ready_pods(component),
                timeout_s=limits.scale_down_s,
                what=lambda component=component: f"{cluster.ready_pods(component)} pods of {component}",
            )
            began_s = time.monotonic()
            reply = stage.gateway.post([f"nobody asked this before {time.time_ns()}"])
            cold_s[component] = time.monotonic() - began_s
            if reply.status != 200:
                raise CheckError(f"without a {component} the first request was answered {reply.status}: {reply.body!r}")
            if not cluster.ready_pods(component):
                raise CheckError(f"answered without a {component}: not the pods that this check looks at")
    words = " and ".join(f"{seconds:.1f} s without a {component}" for component, seconds in cold_s.items())
    return f"the first request took {words}"


def k6_spike(gateway: Gateway) -> int:
    """Run the spike scenario from here; give k6's status."""
    settings = {
        "URL": gateway.url, "HOST": gateway.host, "RATE": "20", "HIT_RATE": "0.2", "MAX_FAILED": "0.01",
        "DURATION_S": "120",
    }  # fmt: skip
    flags = [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]
    k6 = Path(sys.executable).parent / "k6"
    # Its own port for whoever steers it: another k6 may have the usual one.
    command = [str(k6), "run", "--quiet", "--address=127.0.0.1:0", *flags, "load/scenarios/spike.js"]
    # k6 takes no authority of ours; that the certificate is right, the other checks have seen.
    trust = {"K6_INSECURE_SKIP_TLS_VERIFY": "true"} if gateway.authority else {}
    return subprocess.run(command, cwd=ROOT, env=os.environ | trust, check=False).returncode


class _Background:
    """Runs a function in a thread while the block goes on."""

    def __init__(self, function: Callable[[], int]) -> None:
        self.status = -1
        self._function = function
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def going(self) -> bool:
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        self.status = self._function()
