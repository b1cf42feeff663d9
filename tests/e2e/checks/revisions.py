"""New revisions under traffic: a share, all of it, and back."""

import time
from typing import Any

from e2e.stage import CheckError, Stage, none_fails

CANARY_PERCENT = 20


def _canary(percent: int) -> list[dict[str, Any]]:
    return [
        {"op": "add", "path": "/spec/predictor/canaryTrafficPercent", "value": percent},
        {
            "op": "add",
            "path": "/spec/predictor/containers/0/env/-",
            # One name twice is refused.
            "value": {"name": f"E2E_RUN_{time.time_ns()}", "value": "canary"},
        },
    ]


def _bring_in(stage: Stage) -> tuple[str, dict[str, int]]:
    """Bring a canary in; give its name and the shares before it."""
    before = stage.cluster.traffic("predictor")
    known = set(before)
    stage.cluster.patch_service(_canary(CANARY_PERCENT))
    stage.cluster.wait(
        lambda: bool(set(stage.cluster.traffic("predictor")) - known) and stage.cluster.is_ready(),
        timeout_s=stage.limits.ready_s,
        what=lambda: f"no traffic for the canary; {stage.cluster.not_ready()}",
    )
    shares = stage.cluster.traffic("predictor")
    new = set(shares) - known
    if len(new) != 1 or [shares[name] for name in new] != [CANARY_PERCENT]:
        raise CheckError(f"the canary should have {CANARY_PERCENT} %: {shares}")
    return new.pop(), before


def _wait_traffic(stage: Stage, wanted: dict[str, int]) -> None:
    stage.cluster.wait(
        lambda: stage.cluster.traffic("predictor") == wanted and stage.cluster.is_ready(),
        timeout_s=stage.limits.ready_s,
        what=lambda: f"traffic {stage.cluster.traffic('predictor')}; {stage.cluster.not_ready()}",
    )


def canary_and_promotion(stage: Stage) -> str:
    """A changed predictor gets a fifth of the traffic, then all of it, and no request fails."""
    with none_fails(stage.gateway) as trickle:
        new, _ = _bring_in(stage)
        stage.cluster.patch_service([{"op": "remove", "path": "/spec/predictor/canaryTrafficPercent"}])
        _wait_traffic(stage, {new: 100})
    return f"{CANARY_PERCENT} %, then all traffic to {new}; {trickle.asked} requests meanwhile, none failed"


def rollback(stage: Stage) -> str:
    """A canary is taken back as manifests/README.md says: at once, without new pods, and no request fails."""
    spec = stage.cluster.service()["spec"]["predictor"]
    with none_fails(stage.gateway) as trickle:
        new, before = _bring_in(stage)
        pods = {pod.metadata.name for pod in stage.cluster.pods("predictor")}
        began_s = time.monotonic()
        stage.cluster.patch_service([
            {"op": "replace", "path": "/spec/predictor/canaryTrafficPercent", "value": 0}
        ])  # fmt: skip
        _wait_traffic(stage, before)
        took_s = time.monotonic() - began_s
        serving = {pod.metadata.name for pod in stage.cluster.pods("predictor")}
        if not serving or not serving <= pods:
            raise CheckError(f"{serving} serve after the rollback, and before it {pods}")
        # Undone for good: the next change finds what was there.
        back = [{"op": "replace", "path": "/spec/predictor", "value": spec}]
        stage.cluster.change(back, component="predictor", timeout_s=stage.limits.ready_s)
    return f"from {new} back to {', '.join(before)} in {took_s:.0f} s; {trickle.asked} requests meanwhile, none failed"
