"""What a predictor's first batch of a size takes beyond the next one: it makes kernels then."""

import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from itertools import islice
from statistics import median
from typing import NamedTuple

from load.capacity.workload import sentences

# Of each number of texts a batch; one of more texts has another size.
MOST_TEXTS = 24
Ask = Callable[[Sequence[str]], float]
"""Sends texts as one request; gives the seconds until its answer."""


class FirstBatch(NamedTuple):
    """The first and the second batch of a size, in ms."""

    texts: int
    first_ms: float
    second_ms: float


def asking(predictor_url: str) -> Ask:
    """Give what asks a predictor itself, which answers nothing from a cache."""

    def ask(texts: Sequence[str]) -> float:
        body = json.dumps({"instances": texts}).encode()
        start_s = time.perf_counter()
        # Only this machine's own processes are asked.
        with urllib.request.urlopen(f"{predictor_url}/v1/models/sentiment:predict", body, timeout=60) as answer:
            answer.read()
        return time.perf_counter() - start_s

    return ask


def first_batches(ask: Ask) -> list[FirstBatch]:
    """Ask for batches of 1 to ``MOST_TEXTS`` texts, each twice, of a predictor that has met none of their sizes."""
    fresh = iter(sentences())
    found = []
    for count in range(1, MOST_TEXTS + 1):
        texts = list(islice(fresh, count))
        found.append(FirstBatch(texts=count, first_ms=ask(texts) * 1000, second_ms=ask(texts) * 1000))
    return found


def size_s(measured: Sequence[FirstBatch]) -> float:
    """Give the median difference in seconds."""
    return max(0.0, median(each.first_ms - each.second_ms for each in measured) / 1000)
