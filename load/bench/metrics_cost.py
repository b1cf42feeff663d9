"""What do metrics cost a hit? The hot path's function with them and with metrics that do nothing, in one process.

One request of three texts, all in the process's cache; no socket and no HTTP parser, so the share of a served hit is
several times smaller. Both take turns, and the difference is taken round by round, so that a machine that changes its
speed changes both.
"""

import argparse
import asyncio
import gc
import importlib
import sys
import time
from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any

import measuring as m

sys.path[:0] = [str(m.ROOT)]  # this tree, whatever is installed

BODY = b'{"text": ["I love this film", "I hate this film", "It was so so, really"]}'
HEADERS = [(b"host", b"localhost:8080"), (b"content-type", b"application/json"), (b"content-length", b"75")]


def own_copy(name: str) -> ModuleType:
    """Import a module of the transformer, or of what it is built on, with its own code objects, parts and all.

    The interpreter adapts code to the types it meets; code that met both kinds of metrics would be adapted to neither.
    """
    return importlib.import_module(name)


def forget() -> None:
    """Let the next import of the transformer, and of what it is built on, be a new one."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("transformer", "serving")]:
        del sys.modules[name]


class Contestant:
    """The hot path around one kind of metrics, warmed.

    Args:
        silent: whether the metrics do nothing.
    """

    def __init__(self, *, silent: bool) -> None:
        forget()
        tiers, metrics, ports = (
            own_copy("transformer.cache.tiers"),
            own_copy("transformer.metrics"),
            own_copy("transformer.pipeline.ports"),
        )

        class Silent(metrics.Metrics):  # type: ignore[name-defined,misc]
            """Takes what is reported and does nothing with it."""

            def texts(self, outcome: str, count: int = 1) -> None:
                """Do nothing."""

            def request(self, *, route: str, status: int, outcome: str, seconds: float) -> None:
                """Do nothing."""

        class Constant:
            """A predictor that scores every text alike."""

            async def score(self, texts: Sequence[str], _headers: Iterable[tuple[bytes, bytes]]) -> Any:
                """Answer at once."""
                return ports.Scored("v1", ("NEGATIVE", "POSITIVE"), [(0.25, 0.75) for _ in texts], frozenset())

        counted = Silent() if silent else metrics.Metrics()
        keys = own_copy("transformer.cache.key").CacheKeys()
        pipeline = own_copy("transformer.pipeline.pipeline").Pipeline(
            cache=tiers.TieredCache(memory=tiers.MemoryCache(entries=1_000, ttl_s=3_600), shared=None),
            predictor=Constant(),
            keys=keys,
            models=own_copy("transformer.pipeline.models").ModelsInForce(keys=keys, metrics=counted),
            metrics=counted,
        )
        schema = own_copy("serving.schema").RequestSchema(max_texts=128, max_text_chars=10_000)
        service = own_copy("transformer.service").TransformerService(name="sentiment", pipeline=pipeline, schema=schema)
        predictions = own_copy("serving.predictions").Predictions(
            service=service,
            max_body_bytes=1 << 20,
            events=own_copy("serving.cloudevents").CloudEvents(model_name="sentiment", environ={}),
            texts={"/predict": ("/predict", schema.predict)},
        )
        self._hot_path = own_copy("serving.front").Front(
            app=self._nothing_else, predictions=predictions, counts=counted
        )
        self.seconds: list[float] = []
        self._sent: list[dict[str, Any]] = []

    async def burst(self, requests: int) -> float:
        """Give the mean seconds of a hit."""
        began = time.perf_counter()
        for _ in range(requests):
            scope = {"type": "http", "method": "POST", "path": "/predict", "headers": HEADERS}
            await self._hot_path(scope, self._receive, self._send)
        return (time.perf_counter() - began) / requests

    async def check(self) -> None:
        """Check that the second request is a hit.

        Raises:
            RuntimeError: it is not.
        """
        await self.burst(2)
        if (b"x-cache", b"hit") not in self._sent[-2]["headers"]:
            raise RuntimeError(f"no hit: {self._sent}")
        self._send = self._ignore

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def _send(self, message: Any) -> None:
        self._sent.append(message)

    async def _ignore(self, message: Any) -> None:
        pass

    async def _nothing_else(self, *_: object) -> None:
        raise RuntimeError("the request left the hot path")


async def measure(rounds: int, requests: int) -> dict[str, Contestant]:
    """Let both take turns; who goes first changes."""
    contestants = {"metrics": Contestant(silent=False), "no metrics": Contestant(silent=True)}
    for contestant in contestants.values():
        await contestant.check()
        await contestant.burst(1_000)
    gc.disable()
    for n in range(rounds):
        for contestant in list(contestants.values())[:: 1 if n % 2 else -1]:
            contestant.seconds.append(await contestant.burst(requests))
    return contestants


def main() -> None:
    """Measure, print the table, write the JSON."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=4_000)
    options.add_argument("--requests", type=int, default=50, help="hits in a round")
    chosen = options.parse_args()
    contestants = asyncio.run(measure(chosen.rounds, chosen.requests))
    each_us = {name: 1e6 * m.median(contestant.seconds) for name, contestant in contestants.items()}
    pairs = zip(*(contestant.seconds for contestant in contestants.values()), strict=True)
    cost_us = 1e6 * m.median([counted - silent for counted, silent in pairs])
    rows = [{"hot path": name, "us a hit": round(us, 2)} for name, us in each_us.items()]
    m.table(list(rows[0]), [list(row.values()) for row in rows])
    share = cost_us / each_us["metrics"]
    print(f"metrics cost {cost_us:.2f} us a hit, {share:.1%} of the hot path's function\n")
    m.keep("bench-transformer-metrics", {"us_a_hit": each_us, "cost_us": cost_us, "share": share})


if __name__ == "__main__":
    main()
