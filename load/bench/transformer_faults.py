"""What do faults of Redis cost? One client in a loop of hits while Redis really fails: errors, delay, recovery.

The same on one Redis and on a cluster of three, where the shard of the client's text fails. A cluster with replicas
loses that primary for good: there the fault ends when the replica has taken over, after the cluster's node timeout (1
s here) and an election.

L1 is off, so that every look-up goes to Redis. A wrong or failed answer counts as an error. "Added" is the longest wait
for the look-up that the server itself reports, less the median before the fault.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

import measuring as m
from transformer_hits import OURS, post

sys.path[:0] = [str(m.ROOT / "tests")]
from support.redis_cluster import redis_cluster  # noqa: E402  # the tests' own way to a real Redis
from support.redis_rig import key_of  # noqa: E402
from support.redis_server import RedisServer, redis_server  # noqa: E402

Fault = tuple[str, Callable[[], None], Callable[[], None]]
TEXT = "a text that everybody asks for"


class Client:
    """Asks for one text again and again; keeps when, how long the look-up took, hit or not, right or not."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._body = json.dumps({"text": [TEXT]}).encode()
        self._right = self._ask()[2]
        self.seen: list[tuple[float, float, bool, bool]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._loop)
        self._thread.start()

    def _ask(self) -> tuple[float, bool, bytes]:
        request = urllib.request.Request(self._url, self._body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            lookup_ms = float(answer.headers["server-timing"].split("lookup;dur=")[1].split(",")[0])
            return lookup_ms, answer.headers["x-cache"] == "hit", answer.read()

    def _loop(self) -> None:
        while not self._ended.is_set():
            try:
                lookup_ms, hit, body = self._ask()
                self.seen.append((time.monotonic(), lookup_ms, hit, body == self._right))
            except OSError:
                self.seen.append((time.monotonic(), float("nan"), False, False))
            time.sleep(0.005)

    def stop(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join()


def main() -> None:
    """Provoke every fault, print the table, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--report", type=Path, help="write the table as a page here")
    chosen = options.parse_args()
    rows = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(redis_server(folder))
        cluster = stack.enter_context(redis_cluster(folder))
        replicated = stack.enter_context(redis_cluster(folder, replicas=True))
        predictor_port = m.free_port()
        predictor = [
            "-m",
            "predictor",
            "--model_name=sentiment",
            f"--http_port={predictor_port}",
            "--enable_grpc=false",
        ]
        stack.enter_context(m.process(m.python(*predictor), ready=f"http://127.0.0.1:{predictor_port}/v2/health/ready"))
        version = served_version(predictor_port)
        owner, lost = (each.owner(key_of(TEXT, version)) for each in (cluster, replicated))
        for name, redis_url, provoked in (
            ("one Redis", redis.url, faults(redis)),
            ("cluster", cluster.url, faults(owner, in_cluster=True)),
            ("cluster", replicated.url, [("primary lost, its replica takes over", lost.kill, lambda: None)]),
        ):
            port = m.free_port()
            ours = m.python(*OURS, f"--predictor_host=127.0.0.1:{predictor_port}", f"--http_port={port}")
            env = {"TRANSFORMER_REDIS_URL": redis_url, "TRANSFORMER_L1_ENTRIES": "0"}
            stack.enter_context(m.process(ours, env=env, ready=f"http://127.0.0.1:{port}/v1/models"))
            rows += provoke(name, f"http://127.0.0.1:{port}/predict", provoked)
    m.table(list(rows[0]), [list(row.values()) for row in rows])
    m.keep("bench-transformer-faults", rows)
    if chosen.report:
        said = "One client in a loop of hits, L1 off; errors: answers that failed or were wrong."
        m.report(chosen.report, title="Faults of Redis", command="make bench-transformer", parts={said: rows})
    if any(row["errors"] for row in rows):
        sys.exit("a fault of Redis reached a client")


def served_version(predictor_port: int) -> str:
    """Give the model version that the predictor serves."""
    with urllib.request.urlopen(f"http://127.0.0.1:{predictor_port}/v2/models/sentiment", timeout=10) as answer:
        version: str = json.loads(answer.read())["versions"][0]
        return version


def provoke(where: str, url: str, provoked: Sequence[Fault]) -> list[dict[str, object]]:
    """Provoke faults one after the other; give a row for each."""
    rows = []
    for name, hurt, heal in provoked:
        while post(url, {"text": [TEXT]}) != "hit":
            time.sleep(0.05)
        hurt_s = 10 if "SIGSTOP" in name else 3
        rows.append({"cache": where, "fault": f"{name}, {hurt_s} s"} | measure(url, hurt, heal, hurt_s=hurt_s))
    return rows


def measure(url: str, hurt: Callable[[], None], heal: Callable[[], None], *, hurt_s: float) -> dict[str, object]:
    """Hurt, wait ``hurt_s`` seconds, heal, wait; give what the client saw."""
    client = Client(url)
    time.sleep(1)
    hurt_at = time.monotonic()
    hurt()
    time.sleep(hurt_s)
    heal()
    healed_at = time.monotonic()
    time.sleep(4)
    client.stop()
    before = [lookup_ms for at, lookup_ms, _, _ in client.seen if at < hurt_at]
    during = [(lookup_ms, hit) for at, lookup_ms, hit, _ in client.seen if hurt_at <= at < healed_at]
    normal_ms = statistics.median(before)
    back = [at for at, _, hit, _ in client.seen if at >= healed_at and hit]
    return {
        "requests": len(client.seen),
        "errors": sum(not right for *_, right in client.seen),
        "misses_while_hurt": sum(not hit for _, hit in during),
        "worst_added_ms": round(max((lookup_ms for lookup_ms, _ in during), default=0) - normal_ms, 1),
        "requests_slower_by_10_ms": sum(lookup_ms > normal_ms + 10 for lookup_ms, _ in during),
        "hits_back_after_s": round(back[0] - healed_at, 2) if back else None,
    }


def faults(redis: RedisServer, *, in_cluster: bool = False) -> list[Fault]:
    """Give (name, hurt, heal) for every fault; one that makes a replica of a primary is another thing in a cluster."""

    def command(*words: str) -> Callable[[], None]:
        def run() -> None:
            with redis.client() as link:
                link.execute_command(*words)

        return run

    def full() -> None:
        command("CONFIG", "SET", "maxmemory-policy", "noeviction")()
        command("CONFIG", "SET", "maxmemory", "1")()

    def password(new: str, old: str | None) -> Callable[[], None]:
        def run() -> None:
            with redis.client(password=old) as link:
                link.config_set("requirepass", new)
                link.client_kill_filter(_type="normal", skipme=True)

        return run

    alone: list[Fault] = [
        (
            "read-only replica of a lost primary",
            command("REPLICAOF", "127.0.0.1", "9"),
            command("REPLICAOF", "NO", "ONE"),
        ),
    ]
    return [
        ("killed, restarted empty", redis.kill, redis.start),
        ("stopped (SIGSTOP)", lambda: redis.signal(signal.SIGSTOP), lambda: redis.signal(signal.SIGCONT)),
        ("slow (CLIENT PAUSE)", command("CLIENT", "PAUSE", "3000", "ALL"), lambda: None),
        ("full (noeviction)", full, command("CONFIG", "SET", "maxmemory", "0")),
        ("emptied (FLUSHALL)", command("FLUSHALL"), lambda: None),
        ("password changed", password("new", None), password("", "new")),
        ("connections cut", command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), lambda: None),
        *([] if in_cluster else alone),
    ]


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
