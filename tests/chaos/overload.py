"""Overload: new texts at five times what the predictor can do, cached texts beside them; what each of them sees.

``overload.py MODEL_DIR [SECONDS]``: a minute when nothing is said. The model should be of production size: five times
what a toy carries is more than a client in Python sends. The transformer and Redis have one core, the predictor and the
client share the other: whoever is flooded is the predictor. Bounds hold by the transformer's own clock, which a client
short of CPU time does not bend; the client's numbers stand beside. Writes results/overload/*.json; the status is 1 when
a bound is missed.
"""
# ruff: noqa: T201, E402  # a script: it prints, and finds its modules first

import asyncio
import itertools
import json
import os
import random
import re
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

REPO = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPO / "tests"), str(REPO)]
from chaos.open_load import OpenLoad, Report, Sample, warm
from chaos.stack import Stack, resources, stack
from support.redis_server import redis_server

FACTOR = 5
HITS_A_SECOND = 50.0
WORDS = ("film", "plot", "actor", "scene", "dull", "bright", "slow", "warm", "story", "music", "never", "quite")
_SERIAL = itertools.count()


class Misses(OpenLoad):
    """Only new texts."""

    def _texts(self) -> tuple[str, tuple[str, ...]]:  # type: ignore[override]
        return "miss", (new_text(),)


def new_text() -> str:
    """Give a text of some hundred tokens that was never sent before."""
    return f"{next(_SERIAL)} " + " ".join(random.choices(WORDS, k=100))


async def capacity(url: str, *, seconds: float = 6.0, clients: int = 16) -> float:
    """Give new texts answered a second when a few clients ask one after another."""
    answered = 0
    ends_s = time.perf_counter() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while time.perf_counter() < ends_s:
            async with session.post(url + "/predict", json={"text": [new_text()]}) as answer:
                answered += answer.status == 200

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(ask(session) for _ in range(clients)))
    return answered / seconds


def spread(samples: list[Sample]) -> dict[str, float]:
    """Give quantiles of latency in ms."""
    took = sorted(sample.took_s * 1000 for sample in samples)
    if not took:
        return {}
    return {name: round(took[min(len(took) - 1, int(share * len(took)))], 1) for name, share in
            (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}  # fmt: skip


async def recovery(url: str, *, usual_s: float) -> float:
    """Give seconds until a new text is answered in about the usual time."""
    started_s = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        while True:
            asked_s = time.perf_counter()
            async with session.post(url + "/predict", json={"text": [new_text()]}) as answer:
                if answer.status == 200 and time.perf_counter() - asked_s < 3 * usual_s + 0.05:
                    return asked_s - started_s
            await asyncio.sleep(0.02)


Counts = dict[str, dict[float, float]]


async def server_clock(url: str) -> Counts:
    """Give the transformer's own histogram of request seconds: cumulative counts by outcome and bound."""
    async with aiohttp.ClientSession() as session, session.get(url + "/metrics") as answer:
        page = await answer.text()
    counts: Counts = {}
    for bound, outcome, count in re.findall(r'request_seconds_bucket{le="(.+?)",outcome="(.+?)"} (\S+)', page):
        counts.setdefault(outcome, {})[float(bound)] = float(count)
    return counts


async def refusals(rig: Stack) -> dict[str, float]:
    """Give what either service counted of what it did not answer."""
    counts = {}
    async with aiohttp.ClientSession() as session:
        for url, pattern in (
            (rig.url, r"(transformer_(?:predictor|redis)_errors_total{.*?}) (\S+)"),
            (f"http://{rig.predictor.host}", r"(predictor_shed_total{.*?}) (\S+)"),
        ):
            async with session.get(url + "/metrics") as answer:
                counts.update({name: float(count) for name, count in re.findall(pattern, await answer.text())})
    return counts


def p99_ms(before: Counts, after: Counts, outcome: str) -> float:
    """Give the 99th percentile between two readings in ms, linear within a bucket."""
    grown = {bound: count - before[outcome][bound] for bound, count in after[outcome].items()}
    wanted = 0.99 * grown[float("inf")]
    low, below = 0.0, 0.0
    for bound, count in sorted(grown.items()):
        if count >= wanted:
            top = low if bound == float("inf") else bound
            return round(1000 * (low + (top - low) * (wanted - below) / max(count - below, 1.0)), 2)
        low, below = bound, count
    return float("nan")


def place(rig: Stack) -> bool:
    """Give the transformer a core that neither predictor nor client use, where there are two."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or rig.predictor.process is None:
        return False
    for pid, its in (
        (rig.process.process.pid, cores[:1]), (rig.redis.pid, cores[:1]),
        (rig.predictor.process.process.pid, cores[1:]), (os.getpid(), cores[1:]),
    ):  # fmt: skip
        for task in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), its)
    return True


async def measure(rig: Stack, seconds: float) -> dict[str, object]:
    """Run idle, overload and recovery."""
    placed = place(rig)
    await warm(rig.url)
    can = await capacity(rig.url)
    clock = [await server_clock(rig.url)]
    async with OpenLoad(url=rig.url, rate=HITS_A_SECOND, shares=(1, 0, 0), check=lambda *_: True) as hits:
        await asyncio.sleep(10)
    clock.append(await server_clock(rig.url))
    idle = Report(name="idle", samples=tuple(hits.samples), ended_s=None)
    before = resources(rig.process.process)
    usual_s = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        async with session.post(rig.url + "/predict", json={"text": [new_text()]}):
            usual_s = time.perf_counter() - usual_s
    peak = dict(before)
    async with (
        OpenLoad(url=rig.url, rate=HITS_A_SECOND, shares=(1, 0, 0), check=lambda *_: True) as hits,
        Misses(url=rig.url, rate=FACTOR * can, check=lambda *_: True) as misses,
    ):
        for _ in range(int(seconds)):
            await asyncio.sleep(1)
            peak = {name: max(value, peak[name]) for name, value in resources(rig.process.process).items()}
        misses._sender.cancel()  # the flood ends here; what is under way is left to end
        recovered_s = await recovery(rig.url, usual_s=usual_s)
    clock.append(await server_clock(rig.url))
    busy = Report(name="overload", samples=tuple(hits.samples), ended_s=None)
    shed = [sample for sample in misses.samples if sample.status == 503]
    taken = [sample for sample in misses.samples if sample.status == 200]
    other = [sample for sample in misses.samples if sample.status not in (200, 503)]
    return {
        "transformer apart": placed,
        "capacity, new texts/s": round(can, 1),
        "offered, new texts/s": round(FACTOR * can, 1),
        "hits idle ms": spread(idle.of("hit")),
        "hits overload ms": spread(busy.of("hit")),
        "hits idle p99 ms, server's clock": p99_ms(clock[0], clock[1], "hit"),
        "hits overload p99 ms, server's clock": p99_ms(clock[1], clock[2], "hit"),
        "refusals p99 ms, server's clock": p99_ms(clock[1], clock[2], "error"),
        "hits failed": len(busy.failed_hits),
        "misses taken": len(taken),
        "misses taken ms": spread(taken),
        "misses shed": len(shed),
        "misses shed ms": spread(shed),
        "shed without Retry-After": sum(not sample.retry_after for sample in shed),
        "misses otherwise": len(other),
        "refused, by whom": await refusals(rig),
        "goodput of capacity": round(len(taken) / seconds / can, 2),
        "resident MiB before, most": [before["resident_bytes"] >> 20, peak["resident_bytes"] >> 20],
        "descriptors before, most": [before["descriptors"], peak["descriptors"]],
        "recovery s": round(recovered_s, 2),
    }


def verdicts(said: dict[str, object]) -> dict[str, bool]:
    """Hold the numbers against the bounds."""
    idle, busy = said["hits idle p99 ms, server's clock"], said["hits overload p99 ms, server's clock"]
    before, most = said["resident MiB before, most"]  # type: ignore[misc]
    return {
        "hits p99 within 3x of idle": busy <= 3 * idle,  # type: ignore[operator]
        "no hit failed": said["hits failed"] == 0,
        "99 % of the refused told within 50 ms": said["refusals p99 ms, server's clock"] <= 50,  # type: ignore[operator]
        "every shed one told when to come back": said["shed without Retry-After"] == 0,
        "nothing but answers and sheds": said["misses otherwise"] == 0,
        "memory within 64 MiB": most - before <= 64,
        "recovered within 2 s": said["recovery s"] <= 2,  # type: ignore[operator]
    }


async def run(model_dir: str, seconds: float, folder: Path) -> dict[str, object]:
    """Start the stack and measure."""
    model = {"PREDICTOR_MODEL_DIR": model_dir}
    with redis_server(folder) as redis:
        async with stack(folder, redis, version=None, predictor_env=model, TRANSFORMER_L1_ENTRIES="10000") as rig:
            return await measure(rig, seconds)


def main() -> int:
    """Run, print, keep the numbers."""
    model_dir = sys.argv[1]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    with tempfile.TemporaryDirectory() as folder:
        said = asyncio.run(run(model_dir, seconds, Path(folder)))
    held = verdicts(said)
    for name, value in [*said.items(), *held.items()]:
        print(f"| {name} | {value} |")
    out = REPO / "results" / "overload"
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(json.dumps({**said, "verdicts": held}, indent=1))
    return 0 if all(held.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
