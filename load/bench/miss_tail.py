"""What does a miss wait for? Ten clients in a closed loop, 95 % known requests, three new texts in each other one.

Every miss is followed from client to engine: the client's clock, the transformer's server-timing, a relay between the
two services and the predictor's server-timing each hold a part of it. The first table has the mean of all misses, of
the slowest fifth (where the 99th percentile of all requests lies), and of single misses on an idle service. The second
says what Little's law leaves room for: in a closed loop, clients = misses a second x (time of a miss + time of the hits
between two misses), so the mean of all misses follows from the rate, whatever the order they are served in.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import measuring as m
import predictor_load as load
import uvloop
from random_checkpoint import SAMPLE, sample_texts
from relay import Relay, durations

CLIENTS = 10
TEXTS = 3
KNOWN_SHARE = 0.95
SLOWEST = 0.2
IDLE_MISSES = 40

PARTS = (
    "client and transformer: transport, event loops",
    "look-up",
    "transformer to predictor: transport, event loops, JSON",
    "predictor: its event loop, parsing, writing",
    "tokenise",
    "queue: forwards before its own",
    "its forward",
)


# A machine that others use too can be slow enough for refusals, which would end the loop.
PATIENT = {"PREDICTOR_MAX_WAIT_S": "30", "PREDICTOR_DEADLINE_S": "60"}


class RefusedError(Exception):
    """A request was not answered."""


@dataclass(frozen=True, kw_only=True)
class Miss:
    """One miss: ms in all and by part."""

    total_ms: float
    parts_ms: tuple[float, ...]


@dataclass
class Watch:
    """What a run saw: ms of hits, and every miss."""

    hits_ms: list[float]
    misses: list[Miss]

    def p99_ms(self) -> float:
        """Give the 99th percentile of all requests."""
        return load.Seen.percentile([*self.hits_ms, *(miss.total_ms for miss in self.misses)], 99)


class Mix:
    """The load: requests to the transformer, answered through the relay.

    Args:
        port: the transformer's.
        relay: between transformer and predictor.
        texts: unique ones.
        known: the request that everybody sends.
    """

    def __init__(self, *, port: int, relay: Relay, texts: load.UniqueTexts, known: Sequence[str]) -> None:
        self._port = port
        self._relay = relay
        self._texts = texts
        self._known = known
        self._number = itertools.count()

    async def run(self, *, clients: int, seconds: float, known_share: float, most: int | None = None) -> Watch:
        """Have clients ask, each the next when the last is answered, until the time is over or enough was asked."""
        watch = Watch([], [])
        end = time.perf_counter() + seconds
        await asyncio.gather(*(self._client(seed, watch, end, known_share, most) for seed in range(clients)))
        return watch

    async def _client(self, seed: int, watch: Watch, end: float, known_share: float, most: int | None) -> None:
        rng = random.Random(seed)  # noqa: S311 - an order, not a secret
        target = load.Target(f"http://127.0.0.1:{self._port}/predict", "text")
        reader, writer = await asyncio.open_connection(target.host, target.port)
        known = target.request(self._known)
        for _ in itertools.count() if most is None else range(most):
            if time.perf_counter() > end:
                break
            hit, name = rng.random() < known_share, f"m{next(self._number)}"
            request = known if hit else target.request(self._texts.take(TEXTS))
            if not hit:
                request = request.replace(b"\r\n", f"\r\nx-request-id: {name}\r\n".encode(), 1)
            sent = time.perf_counter()
            writer.write(request)
            status, headers = load.read_head(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(int(headers["content-length"]))
            took_ms = (time.perf_counter() - sent) * 1e3
            if status != 200:
                raise RefusedError(f"a request was answered {status}")
            if hit:
                watch.hits_ms.append(took_ms)
            else:
                watch.misses.append(self._account(name, took_ms, durations(headers["server-timing"])))
        writer.close()

    def _account(self, name: str, took_ms: float, said_ms: dict[str, float]) -> Miss:
        call = self._relay.calls.pop(name)
        inside = call.said_ms["tokenise"] + call.said_ms["queue"] + call.said_ms["inference"]
        parts = (
            took_ms - said_ms["lookup"] - said_ms["predict"],
            said_ms["lookup"],
            said_ms["predict"] - call.took_ms,
            call.took_ms - inside,
            call.said_ms["tokenise"],
            call.said_ms["queue"],
            call.said_ms["inference"],
        )
        return Miss(total_ms=took_ms, parts_ms=parts)


def means(misses: Sequence[Miss]) -> list[float]:
    """Give the mean ms of each part, and of all together."""
    columns = [*zip(*(miss.parts_ms for miss in misses), strict=True), [miss.total_ms for miss in misses]]
    return [sum(column) / len(column) for column in columns]


def slowest(misses: Sequence[Miss]) -> list[Miss]:
    """Give the slowest fifth."""
    ranked = sorted(misses, key=lambda miss: miss.total_ms, reverse=True)
    return ranked[: max(1, int(len(ranked) * SLOWEST))]


def cpu_s(pid: int) -> float:
    """Give the CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(
    options: argparse.Namespace, predictor_port: int, predictor_pid: int, stack: contextlib.ExitStack
) -> dict[str, object]:
    """Start relay and transformer, warm up, look at idle misses, then at the mix."""
    relay = Relay(predictor_port)
    relay_port, port = await relay.start(), m.free_port()
    command = m.python("-m", "transformer", "--model_name=sentiment", "--workers=1", "--enable_grpc=false")
    command += [f"--predictor_host=127.0.0.1:{relay_port}", f"--http_port={port}"]
    # Readiness does not ask the predictor, so nothing here waits for the relay that runs in this thread.
    transformer = stack.enter_context(m.process(command, ready=f"http://127.0.0.1:{port}/v2/health/live"))
    pids = {"clients and relay": os.getpid(), "transformer": transformer.pid, "predictor": predictor_pid}
    sentences = sample_texts(options.texts)
    mix = Mix(port=port, relay=relay, texts=load.UniqueTexts(sentences), known=sentences[:TEXTS])
    await mix.run(clients=1, seconds=10, known_share=0.0, most=1)
    await mix.run(clients=CLIENTS, seconds=options.warm_up, known_share=KNOWN_SHARE)
    idle = await mix.run(clients=1, seconds=30, known_share=0.0, most=IDLE_MISSES)
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    began = time.perf_counter()
    seen = await mix.run(clients=CLIENTS, seconds=options.seconds, known_share=KNOWN_SHARE)
    took_s = time.perf_counter() - began
    cores = {f"cores: {name}": (cpu_s(pid) - before[name]) / took_s for name, pid in pids.items()}
    await relay.close()
    totals = [miss.total_ms for miss in seen.misses]
    hits_mean_ms = sum(seen.hits_ms) / len(seen.hits_ms)
    return {
        "requests_per_s": (len(seen.hits_ms) + len(seen.misses)) / took_s,
        "misses_per_s": len(seen.misses) / took_s,
        "p99_ms": seen.p99_ms(),
        "hit_p50_ms": load.Seen.percentile(seen.hits_ms, 50),
        "hit_p99_ms": load.Seen.percentile(seen.hits_ms, 99),
        "miss_p50_ms": load.Seen.percentile(totals, 50),
        "miss_p99_ms": load.Seen.percentile(totals, 99),
        "miss_max_ms": max(totals),
        "miss_mean_by_law_ms": CLIENTS * 1e3 * took_s / len(seen.misses)
        - hits_mean_ms * len(seen.hits_ms) / len(seen.misses),
        "miss_mean_ms": sum(totals) / len(totals),
        **cores,
        "idle": means(idle.misses),
        "all": means(seen.misses),
        "slowest": means(slowest(seen.misses)),
    }


def main() -> None:
    """Measure, print the tables, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, default=SAMPLE)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--warm-up", type=float, default=5)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        port = m.free_port()
        ours = m.python("-m", "predictor", "--model_name=sentiment", f"--http_port={port}", "--enable_grpc=false")
        health = f"http://127.0.0.1:{port}/v2/health/ready"
        env = {"PREDICTOR_MODEL_DIR": str(options.model), **PATIENT}
        predictor = stack.enter_context(m.process(ours, env=env, ready=health))
        try:
            found = uvloop.run(measure(options, port, predictor.pid, stack))
        except RefusedError as error:
            sys.exit(f"miss_tail: {error}")
    columns = [found.pop(name) for name in ("idle", "all", "slowest")]
    rows = zip((*PARTS, "all together"), *columns, strict=True)  # type: ignore[call-overload]
    print(f"\n{options.model}, {CLIENTS} clients, {KNOWN_SHARE:.0%} known, {options.seconds:g} s; means in ms\n")
    m.table(
        ("part of a miss", "idle", "mix, all", "mix, slowest fifth"),
        [(name, *(round(value, 2) for value in values)) for name, *values in rows],
    )
    m.table(("what", "value"), [(name, round(value, 2)) for name, value in found.items()])  # type: ignore[call-overload]
    kept = dict(zip(("idle", "all", "slowest"), columns, strict=True))
    m.keep("bench-miss-tail", {"model": options.model.name, "parts": PARTS, **found, **kept})


if __name__ == "__main__":
    main()
