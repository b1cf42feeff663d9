"""What the service has to do on a cluster. Each check gives one sentence, or raises CheckError with one."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from e2e.cluster import Cluster
from e2e.gateway import Gateway, Trickle

ROOT = Path(__file__).resolve().parents[2]
SEED_TEXTS = ("I hate you.", "I love you.")
CANARY_PERCENT = 20
Load = Callable[[Gateway], int]


class CheckError(Exception):
    """The service does not do what it has to."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long things may take, in seconds."""

    ready_s: float = 600
    scale_out_s: float = 300
    scale_down_s: float = 1_200


def answers_and_caches(gateway: Gateway) -> str:
    """The seed's request is answered; the second time from the cache, with the same bytes."""
    mark = time.time_ns()
    texts = [*SEED_TEXTS, f"something new {mark}"]
    first, second = gateway.post(texts), gateway.post(texts)
    if first.status != 200 or second.status != 200:
        raise CheckError(f"answered {first.status}, then {second.status}")
    best = [pairs[0]["label"] for pairs in first.predictions()][:2]
    if best != ["NEGATIVE", "POSITIVE"]:
        raise CheckError(f"{SEED_TEXTS} are {best}")
    if first.cache == "hit" or second.cache != "hit":
        raise CheckError(f"x-cache was {first.cache}, then {second.cache}: a new text, then known ones")
    if first.body != second.body:
        raise CheckError("a hit and a miss differ")
    return f"answered, then from the cache; model {first.version}"


def canary_and_promotion(cluster: Cluster, gateway: Gateway, limits: Limits) -> str:
    """A changed predictor gets a fifth of the traffic, then all of it, and no request fails."""
    before = set(cluster.traffic("predictor"))
    with Trickle(gateway) as trickle:
        cluster.patch_service(
            [
                {"op": "add", "path": "/spec/predictor/canaryTrafficPercent", "value": CANARY_PERCENT},
                {
                    "op": "add",
                    "path": "/spec/predictor/containers/0/env/-",
                    "value": {"name": "E2E_RUN", "value": str(time.time_ns())},
                },
            ]
        )
        cluster.wait(
            lambda: bool(set(cluster.traffic("predictor")) - before) and cluster.is_ready(),
            timeout_s=limits.ready_s,
            what=lambda: f"no traffic for the canary; {cluster.not_ready()}",
        )
        shares = cluster.traffic("predictor")
        new = set(shares) - before
        if len(new) != 1 or [shares[name] for name in new] != [CANARY_PERCENT]:
            raise CheckError(f"the canary should have {CANARY_PERCENT} %: {shares}")
        cluster.patch_service([{"op": "remove", "path": "/spec/predictor/canaryTrafficPercent"}])
        cluster.wait(
            lambda: cluster.traffic("predictor") == dict.fromkeys(new, 100) and cluster.is_ready(),
            timeout_s=limits.ready_s,
            what=lambda: f"traffic {cluster.traffic('predictor')}; {cluster.not_ready()}",
        )
    return none_failed(trickle, f"{CANARY_PERCENT} %, then all traffic to {new.pop()}")


def scale_out(cluster: Cluster, gateway: Gateway, limits: Limits, load: Load) -> str:
    """Load brings more predictors, and is answered."""
    before = most = cluster.ready_pods("predictor")
    with _Background(lambda: load(gateway)) as running:
        deadline_s = time.monotonic() + limits.scale_out_s
        while running.going and time.monotonic() < deadline_s:
            most = max(most, cluster.ready_pods("predictor"))
            time.sleep(1)
    if running.status != 0:
        raise CheckError(f"the load ended with {running.status}: its thresholds are above")
    if most <= before:
        raise CheckError(f"there were {before} predictors before the load and never more")
    return f"{before} predictors became {most}"


def scale_down(cluster: Cluster, gateway: Gateway, limits: Limits, *, to: Mapping[str, int]) -> str:
    """When the load is over pods go, and no request is lost on the way."""
    with Trickle(gateway) as trickle:
        for component, pods in to.items():
            cluster.wait(
                lambda component=component, pods=pods: cluster.ready_pods(component) <= pods,
                timeout_s=limits.scale_down_s,
                what=lambda component=component: f"{cluster.ready_pods(component)} pods of {component}",
            )
    return none_failed(trickle, "back to " + ", ".join(f"{pods} {component}" for component, pods in to.items()))


def k6_spike(gateway: Gateway) -> int:
    """Run the spike scenario from here; give k6's status."""
    settings = {"URL": gateway.url, "HOST": gateway.host, "RATE": "20", "HIT_RATE": "0.2", "MAX_FAILED": "0.01"}
    flags = [part for name, value in settings.items() for part in ("-e", f"{name}={value}")]
    k6 = Path(sys.executable).parent / "k6"
    command = [str(k6), "run", "--quiet", *flags, "load/scenarios/spike.js"]
    # k6 takes no authority of ours; that the certificate is right, the other checks have seen.
    trust = {"K6_INSECURE_SKIP_TLS_VERIFY": "true"} if gateway.authority else {}
    return subprocess.run(command, cwd=ROOT, env=os.environ | trust, check=False).returncode


def none_failed(trickle: Trickle, words: str) -> str:
    """Give a sentence with the number of requests; raises CheckError if one was not answered with a 200."""
    if trickle.failed:
        raise CheckError(f"{trickle.failed} requests failed meanwhile: {dict(trickle.statuses)}")
    return f"{words}; {sum(trickle.statuses.values())} requests meanwhile, none failed"


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
