"""The simulated requests: arrival times from a rate, and the texts of each."""

import dataclasses
import itertools
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

SENTENCES = Path(__file__).parents[1] / "data" / "sst2_sentences.json"
MARK_CHARS = 12

Rate = Callable[[float], float]


def sentences() -> list[str]:
    """Give the committed sentences."""
    found: list[str] = json.loads(SENTENCES.read_text(encoding="utf-8"))["sentences"]
    return found


def sentence_chars() -> list[int]:
    """Give the lengths in characters of the committed sentences, with the mark that makes a text unique."""
    return [len(sentence) + MARK_CHARS for sentence in sentences()]


def constant(rate_per_s: float) -> Rate:
    """Give the same rate at all times."""
    return lambda _: rate_per_s


def stages(points: Sequence[tuple[float, float]]) -> Rate:
    """Give a rate that moves linearly through (seconds, requests per second) points, constant outside them."""
    times = [time for time, _ in points]
    rates = [rate for _, rate in points]
    return lambda at_s: float(np.interp(at_s, times, rates))


def read_trace(path: Path) -> tuple[Rate, float]:
    """Read a CSV of ``second,requests_per_s`` rows with a header; give the rate and the trace's length in seconds."""
    rows = [line.split(",") for line in path.read_text().splitlines()[1:] if line.strip()]
    points = [(float(second), float(rate)) for second, rate in rows]
    if len(points) < 2 or any(later[0] <= earlier[0] for earlier, later in itertools.pairwise(points)):
        raise ValueError(f"{path} must hold at least two rows second,requests_per_s in rising order of second")
    return stages(points), points[-1][0]


def poisson_arrivals(rate: Rate, *, duration_s: float, rng: random.Random) -> list[float]:
    """Draw arrival times in seconds of a Poisson process whose rate follows ``rate`` (by thinning)."""
    highest = max(rate(second / 4) for second in range(int(duration_s * 4) + 1))
    arrivals: list[float] = []
    at_s = 0.0
    while highest > 0:
        at_s += rng.expovariate(highest)
        if at_s >= duration_s:
            break
        if rng.random() * highest < rate(at_s):
            arrivals.append(at_s)
    return arrivals


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Texts of requests: hot ones with probability ``hit_share``, else new ones.

    With ``zipf_texts`` above 0 every text is drawn by Zipf popularity instead and what hits depends on the past.
    ``size`` is texts per request, ``hot`` the number of hot texts.
    """

    hit_share: float = 0.95
    hot: int = 100
    size: int = 1
    zipf_texts: int = 0
    zipf_exponent: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.hit_share <= 1:
            raise ValueError("hit_share must lie in 0..1")


class Texts:
    """Draws the texts of requests as numbers: hot ones from 0, unique ones counted downwards from -1."""

    def __init__(self, *, mix: Mix, rng: random.Random) -> None:
        self._mix = mix
        self._rng = rng
        self._unique = 0
        if mix.zipf_texts:
            weights = np.arange(1, mix.zipf_texts + 1, dtype=np.float64) ** -mix.zipf_exponent
            self._cdf = np.cumsum(weights / weights.sum())

    def hot(self) -> range:
        """Give the texts that a warmed cache holds at the start."""
        return range(0 if self._mix.zipf_texts else self._mix.hot)

    def request(self) -> list[int]:
        """Draw the texts of one request."""
        return [self._text() for _ in range(self._mix.size)]

    def _text(self) -> int:
        if self._mix.zipf_texts:
            return int(np.searchsorted(self._cdf, self._rng.random(), side="right"))
        if self._rng.random() < self._mix.hit_share:
            return self._rng.randrange(self._mix.hot)
        self._unique -= 1
        return self._unique


class TextCache:
    """Answers by text, each living ``ttl_s`` ± 10 % from when it was stored; hits do not renew it.

    Without ``rng`` all live equally long.
    """

    def __init__(self, *, ttl_s: float = math.inf, rng: random.Random | None = None) -> None:
        self._ttl_s = ttl_s
        self._rng = rng
        self._until_s: dict[int, float] = {}

    def holds(self, text: int, now_s: float) -> bool:
        """Whether the text is answered from the cache at ``now_s``."""
        return self._until_s.get(text, -math.inf) > now_s

    def store(self, text: int, now_s: float) -> None:
        """Keep an answer; texts that never come again (below 0) are not worth the memory."""
        if text >= 0:
            self._until_s[text] = now_s + self._ttl_s * (self._rng.uniform(0.9, 1.1) if self._rng else 1.0)

    def warm(self, texts: Iterable[int], now_s: float) -> None:
        """Keep answers that were stored at some time within the last life."""
        for text in texts:
            age_s = self._rng.random() * self._ttl_s if self._rng and math.isfinite(self._ttl_s) else 0.0
            self.store(text, now_s - age_s)

    def clear(self) -> None:
        """Forget everything, as a new model version does."""
        self._until_s.clear()
