"""What does a cache secret cost a hit in Redis? The way from texts to answers with and without one, in one process.

Both take turns over stored values in a dict, where Redis would give the same ones; the difference of CPU time is taken
round by round. It is held against the CPU time of a whole hit: what a transformer spends from socket to socket, without
a secret and with a real Redis. Two such processes with the same work differ by more than what a secret costs.
"""

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import measuring as m
from metrics_cost import forget, own_copy
from transformer_cluster import TEXTS, asks, spent_s, warm_transformer

sys.path[:0] = [str(m.ROOT / "tests")]
from support.redis_server import redis_server  # noqa: E402  # the tests' own way to a real one

Classify = Callable[[Sequence[str]], Awaitable[Any]]
_SECRETS = {"without": b"", "with": b"authenticates every value"}


class Kept(dict[bytes, bytes]):
    """Stored values, as Redis gives them."""

    async def fetch(self, keys: Sequence[bytes], *, patient: bool = False) -> list[bytes | None]:  # noqa: ARG002
        """Give the value of every key."""
        return [self.get(key) for key in keys]

    def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep values."""
        self.update(values)


def way(secret: bytes) -> Classify:
    """Give the way from texts to answers, all of which are stored and none in memory."""
    forget()
    metrics, tiers = own_copy("transformer.metrics").Metrics(), own_copy("transformer.cache.tiers")
    keys = own_copy("transformer.cache.key").CacheKeys(secret=secret)
    cache = tiers.TieredCache(
        memory=tiers.MemoryCache(entries=0, ttl_s=1),
        shared=Kept(),
        seal=own_copy("transformer.cache.sealed").Seal(keys=keys, metrics=metrics.redis) if secret else None,
    )
    models = own_copy("transformer.pipeline.models").ModelsInForce(keys=keys, metrics=metrics)
    model = models.model("v1", ("NEGATIVE", "POSITIVE"))
    models.adopt(model)
    answers = {text: model.answer((n / 1_000, 1 - n / 1_000), truncated=False) for n, text in enumerate(TEXTS)}
    cache.store([(keys.key(model.prefix, text), answer) for text, answer in answers.items()])
    pipeline = own_copy("transformer.pipeline.pipeline").Pipeline(
        cache=cache, predictor=None, keys=keys, models=models, metrics=metrics
    )
    return lambda texts: pipeline.classify(texts, ())


async def added_s(texts: int, *, rounds: int, requests: int) -> float:
    """Give the CPU seconds that a secret adds to a request, the median of all rounds."""
    ways = {name: way(secret) for name, secret in _SECRETS.items()}
    added: list[float] = []
    for n in range(rounds + 1):
        took_s = {}
        for name in list(ways)[:: 1 if n % 2 else -1]:
            asked = [random.sample(TEXTS, texts) for _ in range(requests)]
            began = time.process_time()
            for each in asked:
                await ways[name](each)
            took_s[name] = (time.process_time() - began) / requests
        added.append(took_s["with"] - took_s["without"])
    return m.median(added[1:])  # the first round warms up


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=200)
    options.add_argument("--requests", type=int, default=200, help="hits in a round")
    options.add_argument("--served-rounds", type=int, default=7, help="of two seconds, each number of texts")
    chosen = options.parse_args()
    rows = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(redis_server(folder))
        os.sched_setaffinity(redis.pid, {1})
        pid, url = warm_transformer(stack, {"TRANSFORMER_REDIS_URL": redis.url})
        for texts in (1, 3, 16):
            script = asks(folder, texts=texts)
            hit_s = m.median([spent_s(pid, url, script, seconds=2)[0] for _ in range(chosen.served_rounds)])
            secret_s = asyncio.run(added_s(texts, rounds=chosen.rounds, requests=chosen.requests))
            rows.append(
                {
                    "texts a request": texts,
                    "us of CPU a hit": round(1e6 * hit_s, 1),
                    "a secret adds us": round(1e6 * secret_s, 2),
                    "share": f"{secret_s / hit_s:.1%}",
                }
            )
    m.table(list(rows[0]), [list(row.values()) for row in rows])
    m.keep("bench-transformer-secret", rows)


if __name__ == "__main__":
    main()
