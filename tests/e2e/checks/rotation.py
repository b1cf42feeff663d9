"""The password that Redis and the transformer share, changed as manifests/README.md says."""

import time

from e2e.stage import CheckError, Stage, none_fails
from e2e.workloads import Workloads


def secret(stage: Stage) -> str:
    """Secret, Redis, transformer, in this order: no request fails, the new password serves, the old one no more."""
    cluster, workloads = stage.cluster, Workloads(stage.cluster)
    old = cluster.cache_secret()["redis-password"]
    with none_fails(stage.gateway) as trickle:
        new = cluster.replace_cache_secret()["redis-password"]
        workloads.restart(cluster.namespace, "sentiment-redis")
        mark = {"op": "add", "path": "/spec/transformer/annotations/sentiment~1restarted", "value": str(time.time_ns())}
        cluster.change([mark], component="transformer", timeout_s=stage.limits.ready_s)
        text = f"under a new password {time.time_ns()}"
        stage.gateway.post([text])
        pod = cluster.pods("transformer")[0]
        stored = workloads.inside(pod, _COUNT)
        passed = {word: workloads.inside(pod, _PING.format(password=word)).strip() for word in (old, new)}
        if stage.gateway.post([text]).cache != "hit":
            raise CheckError("a text that was just asked is no hit")
    if "1" not in stored.split() or not passed[new].startswith("+OK") or not passed[old].startswith("-WRONGPASS"):
        raise CheckError(
            f"transformer_redis_up is {stored!r}; the new password got {passed[new]!r}, the old one {passed[old]!r}"
        )
    return f"the new password serves, the old one is refused; {trickle.asked} requests meanwhile, none failed"


# How many Redis the transformer can read and write.
_COUNT = """
import urllib.request as u
page = u.urlopen("http://127.0.0.1:8080/metrics").read().decode()
print([line for line in page.splitlines() if line.startswith("transformer_degraded ")][0].split()[1] == "0.0" and 1)
"""
_PING = """
import socket
link = socket.create_connection(("sentiment-redis", 6379), timeout=5)
link.sendall(b"AUTH {password}\\r\\n")
print(link.recv(100).decode())
"""
