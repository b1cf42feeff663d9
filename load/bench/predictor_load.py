"""Clients for the predictor's benchmarks: closed loops and an open loop, every text unique."""

import asyncio
import itertools
import random
import re
import socket
import statistics
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from urllib.parse import urlsplit

import aiohttp
import orjson

_INFERENCE = re.compile(r"inference;dur=([\d.]+)")


class UniqueTexts:
    """Real sentences, each made unlike any other by a number, so that nothing on the way can remember it."""

    def __init__(self, sentences: Sequence[str], *, seed: int = 0) -> None:
        self._sentences = list(sentences)
        random.Random(seed).shuffle(self._sentences)  # noqa: S311 - an order, not a secret
        self._number = itertools.count()

    def take(self, count: int) -> list[str]:
        """Give the next texts."""
        numbers = itertools.islice(self._number, count)
        return [f"{self._sentences[n % len(self._sentences)]} {n}" for n in numbers]


@dataclass
class Seen:
    """What clients saw."""

    answered_ms: list[float] = field(default_factory=list)
    overhead_ms: list[float] = field(default_factory=list)
    refused_ms: list[float] = field(default_factory=list)
    late: int = 0
    failed: int = 0
    without_retry_after: int = 0

    @staticmethod
    def percentile(values: Sequence[float], percent: int) -> float:
        """Give a percentile, rounded; nan of nothing."""
        if len(values) < 2:
            return round(values[0], 2) if values else float("nan")
        return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 2)


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Give an HTTP client without a limit of its own."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60)
    ) as client:
        yield client


def lone_client(url: str, field_name: str, *, texts: UniqueTexts, seconds: float) -> tuple[float, Seen]:
    """Send single texts one after another from a client that costs next to nothing; give texts per second too."""
    seen = Seen()
    address = urlsplit(url)
    with closing(HTTPConnection(address.netloc, timeout=60)) as connection:
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        started = time.perf_counter()
        while (sent := time.perf_counter()) < started + seconds:
            body = orjson.dumps({field_name: texts.take(1)})
            connection.request("POST", address.path, body, {"content-type": "application/json"})
            response = connection.getresponse()
            response.read()
            elapsed_ms = (time.perf_counter() - sent) * 1e3
            if response.status != 200:
                seen.failed += 1
                continue
            seen.answered_ms.append(elapsed_ms)
            if spent := _INFERENCE.search(response.headers.get("server-timing", "")):
                seen.overhead_ms.append(elapsed_ms - float(spent[1]))
        return len(seen.answered_ms) / (time.perf_counter() - started), seen


async def closed_loop(
    client: aiohttp.ClientSession,
    url: str,
    field_name: str,
    *,
    texts: UniqueTexts,
    clients: int,
    size: int,
    seconds: float,
) -> tuple[float, Seen]:
    """Have ``clients`` each send the next request when the last is answered; give texts per second too."""
    seen = Seen()
    end = time.perf_counter() + seconds

    async def one() -> None:
        while time.perf_counter() < end:
            await send(client, url, orjson.dumps({field_name: texts.take(size)}), seen)

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return len(seen.answered_ms) * size / (time.perf_counter() - started), seen


async def open_loop(
    client: aiohttp.ClientSession, url: str, field_name: str, *, texts: UniqueTexts, per_s: float, seconds: float
) -> Seen:
    """Send single texts at a rate, whatever comes back."""
    seen = Seen()
    running: set[asyncio.Task[None]] = set()
    started = time.perf_counter()
    for due in arrivals(per_s, seconds):
        delay = started + due - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        task = asyncio.create_task(send(client, url, orjson.dumps({field_name: texts.take(1)}), seen))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    return seen


def arrivals(per_s: float, seconds: float) -> Iterator[float]:
    """Give arrival times of a Poisson process, in seconds from its start."""
    rng = random.Random(1)  # noqa: S311 - an order, not a secret
    now = 0.0
    while (now := now + rng.expovariate(per_s)) < seconds:
        yield now


async def send(client: aiohttp.ClientSession, url: str, body: bytes, seen: Seen) -> None:
    """Send one request and note what came of it."""
    started = time.perf_counter()
    try:
        async with client.post(url, data=body, headers={"content-type": "application/json"}) as response:
            await response.read()
            elapsed_ms = (time.perf_counter() - started) * 1e3
            if response.status == 200:
                seen.answered_ms.append(elapsed_ms)
                if spent := _INFERENCE.search(response.headers.get("server-timing", "")):
                    seen.overhead_ms.append(elapsed_ms - float(spent[1]))
            elif response.status == 503:
                seen.refused_ms.append(elapsed_ms)
                seen.without_retry_after += "retry-after" not in response.headers
            elif response.status == 504:
                seen.late += 1
            else:
                seen.failed += 1
    except (aiohttp.ClientError, TimeoutError):
        seen.failed += 1
