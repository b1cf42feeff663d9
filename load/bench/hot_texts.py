"""What does the end of a hot text's entry cost? Four transformers, one Redis, one predictor of base size, measured.

Lives are shortened in proportion (entries 18 s in Redis, 6 s in memory, as 180 and 60 are by default) so that minutes
show what would take an hour. Requests come at random times, each for one text by Zipf popularity, of a transformer
drawn at random. Forwards are what the transformers' counters say; ends of entries are what Redis says has expired. Both
are counted after two lives in Redis. Waits are the client's, interval by interval.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import random
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import aiohttp
import measuring as m
from transformer_hits import OURS

sys.path[:0] = [str(m.ROOT / "tests")]
from support.redis_server import redis_server  # noqa: E402  # the tests' own way to a real one

from load.capacity.expiry import Fleet, World, row  # noqa: E402

_FORWARDED = re.compile(r'transformer_texts_total\{outcome="miss"\} (\S+)')
_INFERENCE = re.compile(r"predictor_inference_seconds_(sum|count) (\S+)")


def read(port: int) -> str:
    """Give a process's metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
        return text


class Client:
    """Asks at random times; keeps when, how long and whether it was a hit."""

    def __init__(self, ports: list[int], *, rate: float, texts: int) -> None:
        self._ports = ports
        self._rate = rate
        self._weights = list(itertools.accumulate(1 / (n + 1) for n in range(texts)))
        self.seen: list[tuple[float, float, bool]] = []
        self.failed = 0

    async def run(self, seconds: float) -> None:
        """Ask for ``seconds``, whether or not answers come."""
        rng = random.Random(7)  # noqa: S311  # it draws texts
        numbers = range(len(self._weights))
        due = time.monotonic()
        ends = due + seconds
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
            while (due := due + rng.expovariate(self._rate)) < ends:
                await asyncio.sleep(due - time.monotonic())
                (text,) = rng.choices(numbers, cum_weights=self._weights)
                tasks.create_task(self._ask(session, rng.choice(self._ports), text))

    async def _ask(self, session: aiohttp.ClientSession, port: int, text: int) -> None:
        began = time.monotonic()
        body = {"text": [f"the text that is asked for number {text} of all, and it is as long as a sentence is"]}
        async with session.post(f"http://127.0.0.1:{port}/predict", json=body) as answer:
            await answer.read()
            self.failed += answer.status != 200
            self.seen.append((began, time.monotonic() - began, answer.headers.get("x-cache") == "hit"))


def waits(seen: list[tuple[float, float, bool]], *, every_s: float) -> list[dict[str, object]]:
    """Give a row for each interval: how long answers took."""
    seen = sorted(seen)
    began = seen[0][0]
    rows: list[dict[str, object]] = []
    for n, some in itertools.groupby(seen, key=lambda each: int((each[0] - began) / every_s)):
        kept = list(some)
        took = sorted(1e3 * each[1] for each in kept)
        rows.append(
            {
                "from s": round(n * every_s),
                "requests": len(took),
                "p50 ms": round(took[len(took) // 2], 1),
                "p99 ms": round(took[len(took) * 99 // 100], 1),
                "waited %": round(100 * sum(not hit for *_, hit in kept) / len(kept), 2),
            }
        )
    return rows


def main() -> None:
    """Measure, simulate the same, print both, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", type=Path, required=True)
    options.add_argument("--pods", type=int, default=4)
    options.add_argument("--rate-per-pod", type=float, default=20)
    options.add_argument("--texts", type=int, default=100, help="different ones, all of them hot")
    options.add_argument("--redis-s", type=int, default=18)
    options.add_argument("--memory-s", type=float, default=6)
    options.add_argument("--seconds", type=float, default=144)
    options.add_argument("--report", type=Path, help="write the tables as a page here")
    chosen = options.parse_args()
    rate = chosen.pods * chosen.rate_per_pod
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(redis_server(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        predictor_port, *ports = (m.free_port() for _ in range(1 + chosen.pods))
        predictor = [
            "-m", "predictor", "--model_name=sentiment", f"--http_port={predictor_port}", "--enable_grpc=false",
        ]  # fmt: skip
        ready = f"http://127.0.0.1:{predictor_port}/v2/health/ready"
        stack.enter_context(
            m.process(m.python(*predictor), env={"PREDICTOR_MODEL_DIR": str(chosen.model)}, ready=ready)
        )
        env = {
            "TRANSFORMER_REDIS_URL": redis.url,
            "TRANSFORMER_CACHE_TTL_S": str(chosen.redis_s),
            "TRANSFORMER_L1_TTL_S": str(chosen.memory_s),
        }
        for port in ports:
            ours = m.python(*OURS, f"--predictor_host=127.0.0.1:{predictor_port}", f"--http_port={port}")
            stack.enter_context(m.process(ours, env=env, ready=f"http://127.0.0.1:{port}/v1/models"))
        client = Client(ports, rate=rate, texts=chosen.texts)

        def counted() -> tuple[float, float]:
            forwarded = sum(float(_FORWARDED.search(read(port))[1]) for port in ports)  # type: ignore[index]
            with redis.client() as link:
                return forwarded, link.info("stats")["expired_keys"]

        asyncio.run(client.run(2 * chosen.redis_s))
        before, client.seen = counted(), []
        asyncio.run(client.run(chosen.seconds))
        forwards, ends = (after - earlier for after, earlier in zip(counted(), before, strict=True))
        inference = {name: float(value) for name, value in _INFERENCE.findall(read(predictor_port))}
    waited_s = [took for _, took, hit in client.seen if not hit]
    forward_s = statistics.median(waited_s)
    world = World(
        pods=chosen.pods, rate=rate, forward_s=forward_s, texts=chosen.texts, hot=chosen.texts, l1_s=chosen.memory_s,
        ttl_s=chosen.redis_s, warm_s=2 * chosen.redis_s, duration_s=2 * chosen.redis_s + 10 * chosen.seconds,
    )  # fmt: skip
    measured = {
        "pods": chosen.pods,
        "requests/s": rate,
        "forward alone ms": round(1e3 * inference["sum"] / inference["count"], 1),
        "a miss ms": round(1e3 * forward_s, 1),
        "ends": round(ends),
        "forwards": round(forwards),
        "forwards an end": round(forwards / ends, 3),
        "waited %": round(100 * len(waited_s) / len(client.seen), 2),
        "failed": client.failed,
    }
    simulated = row(world, Fleet(world, seed=255).run())
    over_time = waits(client.seen, every_s=chosen.redis_s)
    parts = {
        f"Measured: entries live {chosen.redis_s} s in Redis and {chosen.memory_s:g} s in memory.": [measured],
        "Simulated (load/capacity/expiry.py), the same rates and lives, ten times as long.": [simulated],
        "Measured, over time: every answer, hits and misses.": over_time,
    }
    for rows in parts.values():
        print(m.markdown(rows))
    if chosen.report:
        m.report(chosen.report, title="Hot texts", command="make bench-hot-texts", parts=parts)
    m.keep("bench-hot-texts", {"measured": measured, "simulated": simulated, "over_time": over_time})
    print(json.dumps(m.machine()))


if __name__ == "__main__":
    main()
