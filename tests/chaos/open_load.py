"""An open-loop client: sends at a fixed rate whatever comes back, and checks every answer against the text."""

import asyncio
import itertools
import json
import random
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from support.predictor_double import prediction

Kind = Literal["hit", "miss", "partial"]
HOT = tuple(f"hot text {n}" for n in range(50))
_UNREACHED = 0  # in place of a status: no answer came


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One request: what it asked for, when (seconds since the load began), and what became of it."""

    kind: Kind
    at_s: float
    took_s: float
    status: int
    wrong: bool
    retry_after: bool
    cache: str | None
    version: str | None
    trouble: str | None
    texts: tuple[str, ...]
    predictions: Any = None


Check = Callable[[tuple[str, ...], str, Any], bool]


def double_said(texts: tuple[str, ...], version: str, predictions: Any) -> bool:
    """Say whether predictions are what the predictor double of this version answers for these texts, in order."""
    rounded = [
        [pair | {"score": struct.unpack("<f", struct.pack("<f", pair["score"]))[0]} for pair in each]
        for each in predictions
    ]
    return rounded == [prediction(text, version) for text in texts]


@dataclass(kw_only=True)
class OpenLoad:
    """Requests at ``rate`` a second: of ten, six ask for cached texts, two for a new one, two for both.

    Attributes:
        url: where to; ``/predict`` is added.
        rate: requests a second, exponentially spaced.
        check: whether an answer is right for its texts and version.
        shares: weights of hit, miss and partial requests.
        timeout_s: after which the client gives up.
    """

    url: str
    rate: float
    check: Check = double_said
    shares: tuple[float, float, float] = (6, 2, 2)
    timeout_s: float = 20
    samples: list[Sample] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=self.timeout_s),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._fresh = (f"new text {random.getrandbits(40):x} {n}" for n in itertools.count())
        self._started_s = time.perf_counter()
        self._sender = asyncio.create_task(self._send())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sender.cancel()
        await asyncio.gather(self._sender, return_exceptions=True)
        await asyncio.gather(*self._tasks)
        await self._session.close()

    def now_s(self) -> float:
        """Give seconds since the load began."""
        return time.perf_counter() - self._started_s

    def mark(self, name: str) -> None:
        """Remember now under a name."""
        self.marks[name] = self.now_s()

    async def _send(self) -> None:
        due_s = 0.0
        while True:
            due_s += random.expovariate(self.rate)
            await asyncio.sleep(max(0.0, due_s - self.now_s()))
            task = asyncio.create_task(self._one(due_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _texts(self) -> tuple[Kind, tuple[str, ...]]:
        kind: Kind = random.choices(("hit", "miss", "partial"), self.shares)[0]  # type: ignore[assignment]
        hot = tuple(random.sample(HOT, random.randint(1, 3)))
        if kind == "hit":
            return kind, hot
        new = next(self._fresh)
        return kind, (new,) if kind == "miss" else (hot[0], new, *hot[1:])

    async def _one(self, due_s: float) -> None:
        kind, texts = self._texts()
        status, wrong, retry_after, trouble = _UNREACHED, False, False, None
        cache = version = predictions = None
        try:
            async with self._session.post(self.url + "/predict", json={"text": texts}) as answer:
                body = await answer.read()
                status, retry_after = answer.status, "retry-after" in answer.headers
                cache, version = answer.headers.get("x-cache"), answer.headers.get("x-model-version")
            if status == 200:
                predictions = json.loads(body)["predictions"]
                wrong = len(predictions) != len(texts) or not self.check(texts, str(version), predictions)
        except (aiohttp.ClientError, OSError) as error:
            trouble = type(error).__name__
        self.samples.append(
            Sample(
                kind=kind, at_s=due_s, took_s=self.now_s() - due_s, status=status, wrong=wrong, retry_after=retry_after,
                cache=cache, version=version, trouble=trouble, texts=texts, predictions=predictions,
            )
        )  # fmt: skip

    def report(self, name: str) -> "Report":
        """Count what happened."""
        return Report(name=name, samples=tuple(self.samples), ended_s=self.marks.get("healed"))


async def warm(url: str) -> None:
    """Get every hot text cached."""
    async with aiohttp.ClientSession() as session:
        for _ in range(2):
            async with session.post(url + "/predict", json={"text": HOT}) as answer:
                assert answer.status == 200, await answer.text()
            await asyncio.sleep(0.2)  # writes to Redis leave after the answer


@dataclass(frozen=True, kw_only=True)
class Report:
    """The counts of one fault.

    Attributes:
        name: what was done.
        samples: every request.
        ended_s: when the fault was over, in the load's seconds; None when it had no end.
    """

    name: str
    samples: tuple[Sample, ...]
    ended_s: float | None

    def of(self, *kinds: Kind) -> list[Sample]:
        """Give the requests of some kinds."""
        return [sample for sample in self.samples if sample.kind in kinds]

    @property
    def wrong(self) -> list[Sample]:
        """Give answers that are not the text's own under the version they name."""
        return [sample for sample in self.samples if sample.wrong]

    @property
    def failed_hits(self) -> list[Sample]:
        """Give requests for cached texts that were not answered."""
        return [sample for sample in self.of("hit") if sample.status != 200]

    @property
    def failed_misses(self) -> list[Sample]:
        """Give requests with a new text that were not answered."""
        return [sample for sample in self.of("miss", "partial") if sample.status != 200]

    def statuses(self) -> Counter[str]:
        """Count unanswered requests by status or by what broke."""
        return Counter(sample.trouble or str(sample.status) for sample in self.samples if sample.status != 200)

    @property
    def recovery_s(self) -> float | None:
        """Give seconds from the fault's end until the last failure began; None for no end, 0 for none failing after."""
        if self.ended_s is None:
            return None
        late = [sample.at_s for sample in self.samples if sample.status != 200 and sample.at_s > self.ended_s]
        return max(late, default=self.ended_s) - self.ended_s

    def slow(self, seconds: float = 0.5) -> int:
        """Count answers to cached texts that took longer."""
        return sum(sample.took_s > seconds for sample in self.of("hit") if sample.status == 200)

    def quantile_ms(self, share: float, *kinds: Kind) -> float:
        """Give a quantile of the answered requests' latency in milliseconds, from when they were due."""
        took = sorted(sample.took_s for sample in self.of(*kinds) if sample.status == 200)
        return took[min(len(took) - 1, int(share * len(took)))] * 1000 if took else float("nan")

    def row(self) -> dict[str, object]:
        """Give the table's row."""
        return {
            "fault": self.name,
            "requests": len(self.samples),
            "wrong": len(self.wrong),
            "failed hits": len(self.failed_hits),
            "failed misses": len(self.failed_misses),
            "by status": ", ".join(f"{n} x {what}" for what, n in sorted(self.statuses().items())) or "-",
            "hits over 0.5 s": self.slow(),
            "hit p99 ms": round(self.quantile_ms(0.99, "hit"), 1),
            "recovery s": "-" if self.recovery_s is None else round(self.recovery_s, 2),
        }
