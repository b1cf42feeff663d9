"""Three times the capacity: does the predictor refuse at once, and keep its deadlines, its memory and its speed?

With two cores the predictor has one and the client the other, so that the client's own delays do not count.
"""

import argparse
import asyncio
import os
from pathlib import Path

import measuring as m
import predictor_load as load
from random_checkpoint import SAMPLE, sample_texts


async def measure(options: argparse.Namespace, url: str, pid: int) -> list[tuple[str, float]]:
    """Load in a closed loop, three times as much in an open one, then in a closed loop again."""
    texts = load.UniqueTexts(sample_texts(options.texts))

    async def speed() -> float:
        target = load.Target(url, "instances")
        rate, _ = await load.closed_loop(target, texts=texts, clients=32, size=1, seconds=5)
        return rate

    await speed()
    before = await speed()
    async with load.session() as client:
        resident = [m.resident_mb(pid)]

        async def watch() -> None:
            while True:
                await asyncio.sleep(1)
                resident.append(m.resident_mb(pid))

        watching = asyncio.create_task(watch())
        seen = await load.open_loop(
            client, url, "instances", texts=texts, per_s=options.times * before, seconds=options.seconds
        )
        watching.cancel()
        await asyncio.sleep(1)
        after = await speed()
    return [
        ("capacity texts/s", round(before, 1)),
        ("offered texts/s", round(options.times * before, 1)),
        ("answered texts/s", round(len(seen.answered_ms) / options.seconds, 1)),
        ("answered p50 ms", seen.percentile(seen.answered_ms, 50)),
        ("answered p99 ms", seen.percentile(seen.answered_ms, 99)),
        ("deadline ms", options.deadline_s * 1e3),
        ("refused with 503", len(seen.refused_ms)),
        ("refused without Retry-After", seen.without_retry_after),
        ("refused p50 ms", seen.percentile(seen.refused_ms, 50)),
        ("refused p99 ms", seen.percentile(seen.refused_ms, 99)),
        ("accepted, then 504", seen.late),
        ("failed otherwise", seen.failed),
        ("resident MB before", round(resident[0], 1)),
        ("resident MB at most", round(max(resident), 1)),
        ("texts/s from 1 s afterwards", round(after, 1)),
    ]


def main() -> None:
    """Start a predictor, overload it, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, default=SAMPLE)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--times", type=float, default=3)
    parser.add_argument("--deadline-s", type=float, default=2)
    options = parser.parse_args()
    port = m.free_port()
    command = m.python("-m", "predictor", "--model_name=sentiment", f"--http_port={port}", "--enable_grpc=false")
    env = {"PREDICTOR_MODEL_DIR": str(options.model), "PREDICTOR_DEADLINE_S": str(options.deadline_s)}
    base = f"http://127.0.0.1:{port}"
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        command = ["taskset", "--cpu-list", str(cores[-1]), *command]
        os.sched_setaffinity(0, cores[:-1])
    with m.process(command, env=env, ready=f"{base}/v2/health/ready") as running:
        rows = asyncio.run(measure(options, f"{base}/v1/models/sentiment:predict", running.pid))
    m.table(("what", "value"), rows)
    m.keep("bench-predictor-overload", dict(rows))


if __name__ == "__main__":
    main()
