"""What dies, leaves or falls silent while clients go on asking."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from e2e.gateway import Reply, Trickle
from e2e.stage import CheckError, Stage, none_fails
from e2e.workloads import Workloads

_REDIS = "app.kubernetes.io/name=redis,app.kubernetes.io/part-of=sentiment"
_DNS = "k8s-app=kube-dns"


def _minimum(component: str, pods: int) -> list[dict[str, object]]:
    return [
        {"op": "add", "path": f"/spec/{component}/minReplicas", "value": pods},
        {"op": "add", "path": f"/spec/{component}/maxReplicas", "value": max(2, pods)},
    ]


def predictor_killed(stage: Stage) -> str:
    """The only predictor is killed: known texts are answered throughout, new ones told when to come back."""
    known = f"known before {time.time_ns()}"
    if stage.gateway.post([known]).status != 200:
        raise CheckError("no answer before the fault")
    killed = stage.cluster.pods("predictor")
    workloads = Workloads(stage.cluster)
    with Trickle(stage.gateway, text=known) as hits, Trickle(stage.gateway) as misses:
        time.sleep(2)
        for pod in killed:
            workloads.kill(pod)
        began_s = time.monotonic()
        gone = {pod.metadata.name for pod in killed}
        stage.cluster.wait(
            lambda: len({pod.metadata.name for pod in stage.cluster.pods("predictor")} - gone) >= len(killed),
            timeout_s=stage.limits.ready_s,
            what=lambda: "no new predictor",
        )
        took_s = time.monotonic() - began_s
        time.sleep(5)
    afterwards = stage.gateway.post([f"afterwards {time.time_ns()}"]).status
    if hits.failed:
        raise CheckError(f"known texts failed: {dict(hits.statuses)}")
    if set(misses.statuses) - {200, 503} or misses.unexplained or afterwards != 200:
        raise CheckError(
            f"new texts got {dict(misses.statuses)}, {misses.unexplained} without Retry-After; afterwards {afterwards}"
        )
    return (
        f"a new one after {took_s:.0f} s; {hits.asked} known texts answered, "
        f"new ones {dict(sorted(misses.statuses.items()))}"
    )


def redis_killed(stage: Stage) -> str:
    """Redis is killed: every request is answered, new pods' texts are misses, and hits again when it is back."""
    workloads, gateway = Workloads(stage.cluster), stage.gateway
    namespace = stage.cluster.namespace
    redis = workloads.pods(namespace, _REDIS)
    if not redis:
        raise CheckError("there is no Redis in the namespace")
    with none_fails(gateway) as trickle:
        time.sleep(1)
        before = _outcomes(stage)
        for pod in redis:
            workloads.kill(pod)
        gone = {pod.metadata.name for pod in redis}
        reply = gateway.post([f"while Redis is away {time.time_ns()}"])
        if reply.status != 200 or reply.cache != "miss":
            raise CheckError(f"a new text got {reply.status}, x-cache {reply.cache}")
        stage.cluster.wait(
            lambda: bool({pod.metadata.name for pod in workloads.pods(namespace, _REDIS)} - gone),
            timeout_s=stage.limits.ready_s,
            what=lambda: "no new Redis",
        )
        stage.cluster.wait(
            lambda: not _outcomes(stage)["transformer_degraded"],
            timeout_s=30,
            what=lambda: "the transformer still says that Redis is of no use",
        )
        text = f"stored in the new Redis {time.time_ns()}"
        if gateway.post([text]).status != 200:
            raise CheckError("no answer once Redis is back")
        # The pod's own memory forgets after a minute, Redis after three.
        time.sleep(62)
        reply, after = gateway.post([text]), _outcomes(stage)
    found = after['transformer_texts_total{outcome="hit_l2"}'] - before['transformer_texts_total{outcome="hit_l2"}']
    if reply.cache != "hit" or found < 1:
        raise CheckError(f"x-cache is {reply.cache}, and Redis had {found:g} of the texts")
    return f"misses, then hits out of the new Redis; {trickle.asked} requests meanwhile, none failed"


def _outcomes(stage: Stage) -> Counter[str]:
    """Give the transformers' metrics, added up."""
    program = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/metrics').read().decode())"
    total: Counter[str] = Counter()
    for pod in stage.cluster.pods("transformer"):
        for line in Workloads(stage.cluster).inside(pod, program).splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith("transformer_"):
                total[name] += float(value)  # type: ignore[assignment]
    return total


def drain(stage: Stage) -> str:
    """Every pod is evicted as by a drain: one at a time, refused in between, and no request fails."""
    cluster, workloads = stage.cluster, Workloads(stage.cluster)
    words = []
    for component in ("transformer", "predictor"):
        with cluster.changed(_minimum(component, 2), component=component, timeout_s=stage.limits.ready_s):
            cluster.wait(
                lambda component=component: cluster.ready_pods(component) >= 2,
                timeout_s=stage.limits.ready_s,
                what=lambda component=component: f"{cluster.ready_pods(component)} pods of {component}",
            )
            with none_fails(stage.gateway) as trickle:
                refused = _evict_all(stage, workloads, component)
            words.append(f"{component}s refused {refused} times, {trickle.asked} requests")
            if not refused:
                raise CheckError(f"nothing kept both {component}s from leaving at once")
    return f"{'; '.join(words)}; none failed"


def _evict_all(stage: Stage, workloads: Workloads, component: str) -> int:
    left = stage.cluster.pods(component)
    names = {pod.metadata.name for pod in left}
    refused = 0
    deadline_s = time.monotonic() + stage.limits.ready_s
    while left:
        went = [pod for pod in left if workloads.evict(pod)]
        refused += len(left) - len(went)
        left = [pod for pod in left if pod not in went]
        if time.monotonic() > deadline_s:
            raise CheckError(f"{len(left)} {component}s may still not leave")
        time.sleep(stage.cluster.pause_s)
    # What they have taken on they finish; until they are gone a request may still be lost.
    stage.cluster.wait(
        lambda: not names & {pod.metadata.name for pod in workloads.all_pods(stage.cluster.namespace)},
        timeout_s=stage.limits.ready_s,
        what=lambda: f"{component}s that were evicted do not go",
    )
    return refused


def dns_dead(stage: Stage) -> str:
    """A transformer that starts without the cluster's DNS refuses new texts in time and says so once."""
    workloads, cluster = Workloads(stage.cluster), stage.cluster
    servers = len(workloads.pods("kube-system", _DNS))
    old = {pod.metadata.name for pod in cluster.pods("transformer")}
    try:
        workloads.scale("kube-system", "coredns", 0)
        # One that is on its way out answers to the end.
        cluster.wait(
            lambda: not workloads.all_pods("kube-system", _DNS),
            timeout_s=90,
            what=lambda: "the cluster's DNS does not go",
        )
        for pod in cluster.pods("transformer"):
            workloads.kill(pod)
        cluster.wait(
            lambda: bool({pod.metadata.name for pod in cluster.pods("transformer")} - old),
            timeout_s=stage.limits.ready_s,
            what=lambda: "no new transformer",
        )
        with ThreadPoolExecutor(4) as several:
            replies = list(several.map(lambda n: _timed(stage, f"without names {time.time_ns()} {n}"), range(12)))
        new = [pod for pod in cluster.pods("transformer") if pod.metadata.name not in old]
        lines = [line for pod in new for line in workloads.logs(pod, "kserve-container").splitlines()]
    finally:
        workloads.scale("kube-system", "coredns", max(1, servers))
        workloads.wait_rolled_out("kube-system", "coredns")
    statuses = Counter(reply.status for reply, _ in replies)
    slowest_s = max(seconds for _, seconds in replies)
    if set(statuses) != {503} or any("retry-after" not in reply.headers for reply, _ in replies):
        raise CheckError(f"new texts got {dict(statuses)}, the slowest after {slowest_s:.1f} s")
    lost = [line for line in lines if "a name cannot be found" in line]
    if not lost or len(lost) > 2 * len(new) or any("never retrieved" in line for line in lines):
        raise CheckError(f"{len(lost)} of {len(lines)} lines speak of lost names: {lines[-1:]}")
    cluster.wait(
        lambda: stage.gateway.post([f"with names again {time.time_ns()}"]).status == 200,
        timeout_s=60,
        what=lambda: "no answer although names are found again",
    )
    return f"{len(replies)} refused with 503, the slowest after {slowest_s:.1f} s, in {len(lost)} lines; then answered"


def _timed(stage: Stage, text: str) -> tuple[Reply, float]:
    began_s = time.monotonic()
    return stage.gateway.post([text]), time.monotonic() - began_s


def overflow(stage: Stage) -> str:
    """What queue-proxy refuses in plain text reaches the client as the service's own refusal."""
    operations = [
        {"op": "add", "path": "/spec/predictor/containerConcurrency", "value": 1},
        # Past the activator, which would let them wait.
        {
            "op": "add",
            "path": "/spec/predictor/annotations/autoscaling.knative.dev~1target-burst-capacity",
            "value": "0",
        },
        {"op": "add", "path": "/spec/predictor/maxReplicas", "value": 1},
        {"op": "add", "path": "/spec/predictor/minReplicas", "value": 1},
    ]
    with stage.cluster.changed(operations, component="predictor", timeout_s=stage.limits.ready_s):
        mark = time.time_ns()
        with ThreadPoolExecutor(64) as crowd:
            replies = list(
                crowd.map(
                    lambda n: stage.gateway.post([f"{mark} {n} {k} " + "a film " * 200 for k in range(32)]), range(192)
                )
            )
    statuses = Counter(reply.status for reply in replies)
    refused = [reply for reply in replies if reply.status == 503]
    if set(statuses) != {200, 503}:
        raise CheckError(f"a crowd before one predictor got {dict(statuses)}")
    for reply in refused:
        said = json.loads(reply.body)
        # Its other sentences are those of the transformer's own bound and of a predictor that is not there.
        if said.get("error") != "The predictor is overloaded." or "retry-after" not in reply.headers:
            raise CheckError(f"a refusal came as {reply.body!r} with {dict(reply.headers)}")
    return f"{statuses[200]} answered, {len(refused)} refused with Retry-After and the one body"
