"""What another order of the queue or another size of batches would do to the same load, by simulation.

Ten clients in a closed loop; between two misses a client has a geometric number of hits. A forward costs a fixed part,
which is reading the weights, and a part for each token. Orders: arrival; the shortest request first; the shortest
first, but no request passed over more than a set number of times.
"""

import heapq
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

FIRST_COME = 0
NEVER = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What forwards cost, and how many tokens go into one."""

    fixed_ms: float
    token_ms: float
    batch_tokens: int
    passed_over: int
    """How often a request may be passed over by shorter ones; 0: they are served as they came."""


@dataclass(frozen=True, kw_only=True)
class Clients:
    """The clients: their number, the share of known requests, ms of a hit, tokens that a miss may have."""

    number: int
    known_share: float
    hit_ms: float
    miss_tokens: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The results."""

    requests_per_s: float
    p99_ms: float
    p999_ms: float
    miss_mean_ms: float
    miss_p50_ms: float
    miss_max_ms: float


@dataclass(order=True)
class _Waiting:
    since_ms: float
    tokens: int = field(compare=False)
    passed: int = field(default=0, compare=False)


def simulate(engine: Engine, clients: Clients, *, seconds: float = 120, seed: int = 1) -> Outcome:
    """Run the clients for a time; the same seed gives the same run."""
    rng = random.Random(seed)  # noqa: S311 - a draw, not a secret
    hits, misses = 0, [0.0] * 0
    waiting: list[_Waiting] = []
    running: list[_Waiting] = []
    # When, and whether it is a client's miss or the end of a forward.
    events: list[tuple[float, bool]] = []

    def go_on(now_ms: float) -> None:
        nonlocal hits
        known = 0
        while rng.random() < clients.known_share:
            known += 1
        hits += known
        heapq.heappush(events, (now_ms + known * clients.hit_ms, True))

    for _ in range(clients.number):
        go_on(0.0)
    now_ms = 0.0
    while now_ms < seconds * 1e3:
        now_ms, arrives = heapq.heappop(events)
        if arrives:
            waiting.append(_Waiting(now_ms, rng.choice(clients.miss_tokens)))
        else:
            for request in running:
                misses.append(now_ms - request.since_ms)
                go_on(now_ms)
            running = []
        if waiting and not running:
            running = _next(waiting, engine)
            tokens = sum(request.tokens for request in running)
            heapq.heappush(events, (now_ms + engine.fixed_ms + engine.token_ms * tokens, False))
    everything = sorted(misses + [clients.hit_ms] * hits)
    return Outcome(
        requests_per_s=len(everything) / seconds,
        p99_ms=everything[int(0.99 * len(everything))],
        p999_ms=everything[int(0.999 * len(everything))],
        miss_mean_ms=statistics.mean(misses),
        miss_p50_ms=statistics.median(misses),
        miss_max_ms=max(misses),
    )


def _next(waiting: list[_Waiting], engine: Engine) -> list[_Waiting]:
    due = [request for request in waiting if request.passed >= engine.passed_over]
    rest = [request for request in waiting if request.passed < engine.passed_over]
    taken: list[_Waiting] = []
    left = engine.batch_tokens
    for request in sorted(due) + sorted(rest, key=lambda each: each.tokens):
        if taken and request.tokens > left:
            break
        taken.append(request)
        left -= request.tokens
    chosen = {id(request) for request in taken}
    waiting[:] = [request for request in waiting if id(request) not in chosen]
    for request in waiting:
        request.passed += 1
    return taken
