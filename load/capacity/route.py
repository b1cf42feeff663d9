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
NO_CLUSTER, CONTAINER, QUEUE_PROXY, GATEWAY = (
    "no cluster", "the pod's container", "queue-proxy", "gateway and queue-proxy",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Hops:
    """Seconds of one pass through each."""

    gateway_s: float = 0.0
    queue_proxy_s: float = 0.0
    activator_s: float = 0.0

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not value >= 0:
                raise ValueError(f"{name} must be at least 0, not {value}")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to the transformer: what it leads through, its address, and the Host header that it needs."""

    name: str
    url: str
    host: str = ""


def ways_to(pod_ip: str, *, url: str, host: str) -> list[Way]:
    """Give the ways into a cluster's pod, the shortest first."""
    return [
        Way(name=CONTAINER, url=f"http://{pod_ip}:{USER_PORT}"),
        Way(name=QUEUE_PROXY, url=f"http://{pod_ip}:{QUEUE_PROXY_PORT}", host=host),
        Way(name=GATEWAY, url=url, host=host),
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


def hops_of(found: dict[str, Any]) -> Hops:
    """Give what each hop costs, from the medians of the rounds.

    In front of the transformer, where the activator is only while there is no pod, hits show gateway and queue-proxy.
    Between the pods a miss passes gateway, activator and queue-proxy: what the first and the last leave of that is the
    activator's.

    Raises:
        ValueError: a way is not among those that were measured.
    """
    try:
        hit, miss = (
            {way: median(found["p50_ms"][way][outcome]) / 1000 for way in (NO_CLUSTER, CONTAINER, QUEUE_PROXY, GATEWAY)}
            for outcome in ("hit", "miss")
        )
    except KeyError as missing:
        raise ValueError(f"the route's file has nothing about {missing}") from None
    queue_proxy_s = max(0.0, hit[QUEUE_PROXY] - hit[CONTAINER])
    gateway_s = max(0.0, hit[GATEWAY] - hit[QUEUE_PROXY])
    between_s = (miss[CONTAINER] - hit[CONTAINER]) - (miss[NO_CLUSTER] - hit[NO_CLUSTER])
    return Hops(
        gateway_s=gateway_s, queue_proxy_s=queue_proxy_s, activator_s=max(0.0, between_s - gateway_s - queue_proxy_s)
    )


def page(found: dict[str, Any]) -> str:
    """Write the medians of the rounds, what each way adds to the one above it, and what that makes of each hop."""
    hops = {name: f"{ms(value * 1000)} ms" for name, value in dataclasses.asdict(hops_of(found)).items()}
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
            "turns. In the cluster a miss also passes gateway, activator and queue-proxy between the two pods.",
            "",
            table(["through", "hit", "more", "miss", "more"], rows),
            "",
            f"One pass, as the plan takes it: gateway {hops['gateway_s']}, queue-proxy {hops['queue_proxy_s']},",
            f"activator {hops['activator_s']} (what the other two leave of the way between the pods).",
            "",
            f"Machine: `{json.dumps(found['machine'])}`",
            "",
        ]
    )
