"""What the expiry of a hot text costs with many pods: single flight is per pod, and all may find the entry gone.

Every request asks for one text, drawn by Zipf popularity, of a pod drawn at random. Pods have the transformer's own two
tiers: L1, whose entries live ``l1_s`` less up to 10 %, and Redis, whose entries live ``ttl_s`` ± 10 %. A forward takes
``forward_s``; its answer is in Redis ``write_s`` later. With ``early`` a pod that finds an entry in Redis renews it
before its end with the chance of XFetch (Vattani, Chierichetti, Lowenstein, VLDB 2015), and answers from the cache
meanwhile.
"""

import argparse
import bisect
import itertools
import json
import math
import random
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

_LOOKUP_S = 0.001
_MEMORY_S = 0.0001


@dataclass(frozen=True, kw_only=True)
class World:
    """What is simulated; times in seconds, rates a second."""

    pods: int
    rate: float
    forward_s: float
    texts: int = 20_000
    hot: int = 100
    exponent: float = 1.0
    l1_s: float = 60.0
    ttl_s: float = 180.0
    write_s: float = 0.002
    duration_s: float = 1_260.0
    warm_s: float = 360.0
    early: float = 0.0


@dataclass(kw_only=True)
class Seen:
    """The results, hot texts only, after the warm-up."""

    requests: int = 0
    waited: int = 0
    expiries: int = 0
    forwards: int = 0
    most_forwards: int = 0
    early_forwards: int = 0
    waits_s: list[float] = field(default_factory=list)
    minutes: Counter[int] = field(default_factory=Counter)
    slow_minutes: Counter[int] = field(default_factory=Counter)


class Fleet:
    """Pods over one Redis."""

    def __init__(self, world: World, *, seed: int) -> None:
        self._world = world
        self._rng = random.Random(seed)  # noqa: S311  # it simulates
        self._memory: list[dict[int, float]] = [{} for _ in range(world.pods)]
        self._flights: list[dict[int, float]] = [{} for _ in range(world.pods)]
        # By text: when each answer arrived in Redis, and when it expires.
        self._stored: dict[int, list[tuple[float, float]]] = {}
        self._group: dict[int, tuple[float, int]] = {}
        self.seen = Seen()

    def run(self) -> Seen:
        """Send the requests."""
        world, rng = self._world, self._rng
        weights = list(itertools.accumulate((n + 1) ** -world.exponent for n in range(world.texts)))
        now_s = 0.0
        while now_s < world.duration_s:
            now_s += rng.expovariate(world.rate)
            text = bisect.bisect_left(weights, rng.random() * weights[-1])
            took_s = self._request(rng.randrange(world.pods), text, now_s)
            if text < world.hot and now_s > world.warm_s:
                self._note(now_s, took_s)
        return self.seen

    def _note(self, now_s: float, took_s: float) -> None:
        seen, minute = self.seen, int(now_s // 60)
        seen.requests += 1
        seen.minutes[minute] += 1
        if took_s > _LOOKUP_S:
            seen.waited += 1
            seen.waits_s.append(took_s)
            seen.slow_minutes[minute] += 1

    def _request(self, pod: int, text: int, now_s: float) -> float:
        """Give how long the answer took."""
        memory, flights = self._memory[pod], self._flights[pod]
        if memory.get(text, 0.0) > now_s:
            return _MEMORY_S
        flying_s = flights.get(text, 0.0)
        end_s = self._end_s(text, now_s)
        if end_s > now_s:
            memory[text] = now_s + self._world.l1_s * self._rng.uniform(0.9, 1.0)
            if self._world.early and flying_s <= now_s and self._renews(end_s - now_s):
                self._forward(pod, text, now_s, early=True)
            return _LOOKUP_S
        if flying_s > now_s:
            return flying_s - now_s
        self._forward(pod, text, now_s, early=False)
        return self._world.forward_s

    def _renews(self, left_s: float) -> bool:
        return -self._world.forward_s * self._world.early * math.log(1.0 - self._rng.random()) >= left_s

    def _end_s(self, text: int, now_s: float) -> float:
        stored = [each for each in self._stored.get(text, ()) if each[1] > now_s]
        self._stored[text] = stored
        return max((end_s for begin_s, end_s in stored if begin_s <= now_s), default=0.0)

    def _forward(self, pod: int, text: int, now_s: float, *, early: bool) -> None:
        world = self._world
        done_s = now_s + world.forward_s
        self._flights[pod][text] = done_s
        self._memory[pod][text] = max(
            self._memory[pod].get(text, 0.0), done_s + world.l1_s * self._rng.uniform(0.9, 1.0) if not early else 0.0
        )
        begin_s = done_s + world.write_s
        self._stored.setdefault(text, []).append((begin_s, begin_s + world.ttl_s * self._rng.uniform(0.9, 1.1)))
        if text >= world.hot or now_s <= world.warm_s:
            return
        if early:
            self.seen.early_forwards += 1
            return
        until_s, count = self._group.get(text, (0.0, 0))
        if now_s > until_s:
            until_s, count = begin_s, 0
            self.seen.expiries += 1
        self._group[text] = until_s, count + 1
        self.seen.forwards += 1
        self.seen.most_forwards = max(self.seen.most_forwards, count + 1)


def row(world: World, seen: Seen) -> dict[str, object]:
    """Give a line of the table."""
    slowest = sorted(seen.waits_s)
    rank = len(slowest) - seen.requests // 1000
    worst_minute = max((slow / seen.minutes[minute] for minute, slow in seen.slow_minutes.items()), default=0.0)
    return {
        "pods": world.pods,
        "requests/s": world.rate,
        "forward ms": round(world.forward_s * 1000),
        "L1 s": world.l1_s,
        "early": world.early,
        "forwards per expiry": round(seen.forwards / seen.expiries, 2) if seen.expiries else 0.0,
        "most": seen.most_forwards,
        "early forwards": seen.early_forwards,
        "waited %": round(100 * seen.waited / seen.requests, 4),
        "worst minute %": round(100 * worst_minute, 3),
        "p99.9 ms": round(1000 * slowest[rank], 1) if 0 <= rank < len(slowest) else "a hit's",
    }


def main() -> None:
    """Simulate 4 and 50 pods, with and without L1, with and without early refresh; print and keep the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--forward-ms", type=float, nargs="+", default=[50.0, 250.0], help="of the model")
    options.add_argument("--rate-per-pod", type=float, default=20.0, help="requests a second")
    options.add_argument("--pods", type=int, nargs="+", default=[4, 50])
    options.add_argument("--seed", type=int, default=255)
    options.add_argument("--out", type=Path, default=Path("results/expiry.json"))
    chosen = options.parse_args()
    rows = []
    for pods, forward_ms, l1_s, early in itertools.product(chosen.pods, chosen.forward_ms, (60.0, 0.0), (0.0, 1.0)):
        world = World(pods=pods, rate=chosen.rate_per_pod * pods, forward_s=forward_ms / 1000, l1_s=l1_s, early=early)
        seen = Fleet(world, seed=chosen.seed).run()
        rows.append(row(world, seen))
        names = list(rows[0])
        if len(rows) == 1:
            print("| " + " | ".join(names) + " |\n|" + "---|" * len(names))
        print("| " + " | ".join(str(rows[-1][name]) for name in names) + " |", flush=True)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps({"world": asdict(World(pods=0, rate=0.0, forward_s=0.0)), "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
