"""The load whose misses are broken down: clients in a closed loop, most requests known, new texts in the others."""

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from load.bench.predictor_load import Seen, Target, UniqueTexts, read_head
from load.bench.tail.relay import Relay, durations

TEXTS = 3
SLOWEST = 0.2

PARTS = (
    "client and transformer: transport, event loops",
    "look-up",
    "transformer to predictor: transport, event loops, JSON",
    "predictor: its event loop, parsing, writing",
    "tokenise",
    "queue: forwards before its own",
    "its forward, with those of its batch",
)


class RefusedError(Exception):
    """A request was not answered."""


@dataclass(frozen=True, kw_only=True)
class Miss:
    """One miss: ms in all and by part."""

    total_ms: float
    parts_ms: tuple[float, ...]


@dataclass
class Watch:
    """What a run saw: ms of each hit, and every miss."""

    hits_ms: list[float] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)

    def p99_ms(self) -> float:
        """Give the 99th percentile of all requests."""
        return Seen.percentile([*self.hits_ms, *(miss.total_ms for miss in self.misses)], 99)


class Mix:
    """The clients.

    Args:
        port: the transformer's.
        relay: between transformer and predictor.
        texts: unique ones.
        known: the request that all clients send.
    """

    def __init__(self, *, port: int, relay: Relay, texts: UniqueTexts, known: Sequence[str]) -> None:
        self._target = Target(f"http://127.0.0.1:{port}/predict", "text")
        self._relay = relay
        self._texts = texts
        self._known = self._target.request(known)
        self._number = itertools.count()

    async def run(self, *, clients: int, seconds: float, known_share: float, most: int | None = None) -> Watch:
        """Have clients ask, each the next when the last is answered, until the time is over or enough was asked.

        Raises:
            RefusedError: a request was not answered with 200.
        """
        watch = Watch()
        end = time.perf_counter() + seconds
        await asyncio.gather(*(self._client(seed, watch, end, known_share, most) for seed in range(clients)))
        return watch

    async def _client(self, seed: int, watch: Watch, end: float, known_share: float, most: int | None) -> None:
        reader, writer = await asyncio.open_connection(self._target.host, self._target.port)
        try:
            await self._ask(reader, writer, seed, watch, end, known_share, most)
        finally:
            writer.close()

    async def _ask(  # noqa: PLR0917 - a client's whole state
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seed: int,
        watch: Watch,
        end: float,
        known_share: float,
        most: int | None,
    ) -> None:
        rng = random.Random(seed)  # noqa: S311 - an order, not a secret
        for _ in itertools.count() if most is None else range(most):
            if time.perf_counter() > end:
                break
            hit, name = rng.random() < known_share, f"m{next(self._number)}"
            request = self._known if hit else self._new(name)
            sent = time.perf_counter()
            writer.write(request)
            status, headers = read_head(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(int(headers["content-length"]))
            took_ms = (time.perf_counter() - sent) * 1e3
            if status != 200:
                raise RefusedError(f"a request was answered {status}")
            if hit:
                watch.hits_ms.append(took_ms)
            else:
                watch.misses.append(self._account(name, took_ms, durations(headers["server-timing"])))

    def _new(self, name: str) -> bytes:
        line = f"\r\nx-request-id: {name}\r\n".encode()
        return self._target.request(self._texts.take(TEXTS)).replace(b"\r\n", line, 1)

    def _account(self, name: str, took_ms: float, said_ms: dict[str, float]) -> Miss:
        call = self._relay.calls.pop(name)
        tokenise, queue, inference = (call.said_ms[part] for part in ("tokenise", "queue", "inference"))
        parts = (
            took_ms - said_ms["lookup"] - said_ms["predict"],
            said_ms["lookup"],
            said_ms["predict"] - call.took_ms,
            call.took_ms - tokenise - queue - inference,
            tokenise,
            queue,
            inference,
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
