"""What each hop of the Knative route costs: one client, through more and more of what lies in front of a pod."""

import dataclasses
import json
from collections.abc import Sequence
from statistics import median
from typing import Any

from load.capacity.drive import k6_result
from load.machine import machine_facts
from load.report import ms, table

OUTCOMES = {"hit": 1.0, "miss": 0.0}
USER_PORT, QUEUE_PROXY_PORT = 8080, 8012


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to the transformer: what it leads through, its address, and the Host header that it needs."""

    name: str
    url: str
    host: str = ""


def ways_to(pod_ip: str, *, url: str, host: str) -> list[Way]:
    """Give the ways into a cluster's pod, the shortest first."""
    return [
        Way(name="the pod's container", url=f"http://{pod_ip}:{USER_PORT}"),
        Way(name="queue-proxy", url=f"http://{pod_ip}:{QUEUE_PROXY_PORT}", host=host),
        Way(name="gateway and queue-proxy", url=url, host=host),
    ]


def measure(ways: Sequence[Way], *, rounds: int, round_s: float) -> dict[str, Any]:
    """Ask by every way in turns, one request after the other; plain values for JSON.

    Args:
        ways: in the order of the table.
        rounds: how often each gets its turn.
        round_s: seconds of a turn, for hits and for misses each.

    Raises:
        RuntimeError: a way answers otherwise than it should.
    """
    p50_ms: dict[str, dict[str, list[float]]] = {way.name: {outcome: [] for outcome in OUTCOMES} for way in ways}
    for _ in range(rounds):
        for way in ways:
            for outcome, share in OUTCOMES.items():
                settings = {
                    "URL": way.url, "HOST": way.host, "INSECURE": "true", "VUS": 1, "DURATION_S": round_s,
                    "HIT_RATE": share, "HOT": 20,
                }  # fmt: skip
                result = k6_result("saturate", settings)
                latency = result["latency"][outcome]
                if latency is None:
                    answers = result["requests"]["statuses"]
                    raise RuntimeError(f"{way.name} ({way.url}): no request was a {outcome}; statuses {answers}")
                p50_ms[way.name][outcome].append(float(latency["p50_ms"]))
    return {"p50_ms": p50_ms, "rounds": rounds, "round_s": round_s, "machine": machine_facts()}


def page(found: dict[str, Any]) -> str:
    """Write the medians of the rounds, and what each way adds to the one above it."""
    rows: list[list[str]] = []
    before: dict[str, float] = {}
    for way, by_outcome in found["p50_ms"].items():
        now = {outcome: median(rounds) for outcome, rounds in by_outcome.items()}
        added = [ms(now[outcome] - before[outcome]) if before else "" for outcome in OUTCOMES]
        rows.append([way, ms(now["hit"]), added[0], ms(now["miss"]), added[1]])
        before = now
    return "\n".join(
        [
            "# What the route costs",
            "",
            f"One client in a closed loop; p50 in ms, medians of {found['rounds']} rounds of {found['round_s']:g} s in",
            "turns. In the cluster a miss also passes activator and queue-proxy between the two pods.",
            "",
            table(["through", "hit", "more", "miss", "more"], rows),
            "",
            f"Machine: `{json.dumps(found['machine'])}`",
            "",
        ]
    )
