"""Shows what the service does: the README's request, then a few seconds of load, as a table.

    python -m local.demo [http://localhost:8080]

Without a URL it runs its own stack on free ports.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import aiohttp

from local.running import running_stack

SEED_TEXTS = ("I hate you.", "I love you.")
SECONDS = 6.0
CLIENTS = 4
HOT_TEXTS = 50
MISS_EVERY = 20


@contextlib.contextmanager
def service(url: str | None) -> Iterator[str]:
    """Give the URL, or run a stack and give its URL."""
    if url is not None:
        yield url.rstrip("/")
        return
    print("starting Redis, predictor and transformer on free ports ...", flush=True)
    with tempfile.TemporaryDirectory() as scratch, running_stack(Path(scratch)) as ports:
        yield ports.url


async def seed_request(session: aiohttp.ClientSession, url: str) -> None:
    """Post the README's texts twice and show both answers."""
    for _ in range(2):
        started_s = time.perf_counter()
        async with session.post(f"{url}/predict", json={"text": SEED_TEXTS}) as answer:
            said = await answer.json()
        took_ms = 1000 * (time.perf_counter() - started_s)
        print(f"POST /predict {json.dumps({'text': SEED_TEXTS})}")
        print(f"{answer.status}  x-cache: {answer.headers.get('x-cache', 'none')}  {took_ms:.1f} ms")
        for text, pairs in zip(SEED_TEXTS, said.get("predictions", ()), strict=False):
            print(f"  {text:<14} {pairs[0]['label']:<9} {pairs[0]['score']:.4f}")
        print()


async def load(session: aiohttp.ClientSession, url: str, seconds: float) -> Mapping[str, Sequence[float]]:
    """Post from a few clients at once, one new text in twenty; give latencies in ms by cache outcome."""
    took_ms: dict[str, list[float]] = defaultdict(list)
    end_s = time.perf_counter() + seconds
    run = time.time_ns()

    async def client(number: int) -> None:
        turn = 0
        while (started_s := time.perf_counter()) < end_s:
            turn += 1
            fresh = turn % MISS_EVERY == 0
            text = f"film {run} {number} {turn}" if fresh else f"film {(turn * 7 + number) % HOT_TEXTS}"
            async with session.post(f"{url}/predict", json={"text": [text]}) as answer:
                await answer.read()
            outcome = answer.headers.get("x-cache", f"error {answer.status}")
            took_ms[outcome].append(1000 * (time.perf_counter() - started_s))

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return took_ms


def table(took_ms: Mapping[str, Sequence[float]], seconds: float) -> str:
    """Write counts, rates and latencies by cache outcome."""
    lines = [f"{'cache':<10}{'requests':>10}{'per second':>12}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}"]
    everything = [value for values in took_ms.values() for value in values]
    for name, values in [*sorted(took_ms.items()), ("all", everything)]:
        p50, p99 = (statistics.quantiles(values, n=100)[i] if len(values) > 1 else values[0] for i in (49, 98))
        lines.append(
            f"{name:<10}{len(values):>10}{len(values) / seconds:>12.0f}{p50:>10.2f}{p99:>10.2f}{max(values):>10.2f}"
        )
    return "\n".join(lines)


async def show(url: str, seconds: float = SECONDS) -> bool:
    """Show everything; say whether every request of the load was answered."""
    async with aiohttp.ClientSession() as session:
        await seed_request(session, url)
        print(f"{CLIENTS} clients for {seconds:g} s, one text in {MISS_EVERY} new:\n", flush=True)
        took_ms = await load(session, url, seconds)
    print(table(took_ms, seconds))
    return set(took_ms) <= {"hit", "miss"}


def main() -> int:
    """Run the demonstration; 1 if a request failed."""
    try:
        with service(sys.argv[1] if len(sys.argv) > 1 else None) as url:
            return 0 if asyncio.run(show(url)) else 1
    except aiohttp.ClientConnectionError as error:
        print(f"no answer: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
