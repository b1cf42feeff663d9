"""Clients for the predictor's benchmarks: closed loops and an open loop, every text unique."""

import asyncio
import itertools
import random
import re
import socket
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import aiohttp
import orjson

_INFERENCE = re.compile(r"inference;dur=([\d.]+)")


class UniqueTexts:
    """Real sentences, each made unique by a number, so that nothing can cache it."""

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

    def note(self, status: int, headers: Mapping[str, str], elapsed_ms: float) -> None:
        """Count an answer."""
        if status == 200:
            self.answered_ms.append(elapsed_ms)
            if spent := _INFERENCE.search(headers.get("server-timing", "")):
                self.overhead_ms.append(elapsed_ms - float(spent[1]))
        elif status == 503:
            self.refused_ms.append(elapsed_ms)
            self.without_retry_after += "retry-after" not in headers
        elif status == 504:
            self.late += 1
        else:
            self.failed += 1

    @staticmethod
    def percentile(values: Sequence[float], percent: int) -> float:
        """Give a percentile, rounded; nan of nothing."""
        if len(values) < 2:
            return round(values[0], 2) if values else float("nan")
        return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 2)


@asynccontextmanager
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Give an HTTP client without a limit on connections."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=60)
    ) as client:
        yield client


class Target:
    """Where a closed loop sends its requests; as little as HTTP/1.1 needs, so that the client costs next to nothing.

    Args:
        url: the route.
        field_name: the body's one key.
    """

    def __init__(self, url: str, field_name: str) -> None:
        address = urlsplit(url)
        self.host, self.port = str(address.hostname), int(address.port or 80)
        self._field_name = field_name
        self._head = f"POST {address.path} HTTP/1.1\r\nhost: {address.netloc}\r\ncontent-type: application/json\r\n"

    def request(self, texts: Sequence[str]) -> bytes:
        """Give the bytes to send."""
        body = orjson.dumps({self._field_name: texts})
        return f"{self._head}content-length: {len(body)}\r\n\r\n".encode() + body


def lone_client(
    target: Target, *, texts: UniqueTexts, seconds: float, before: Callable[[str], object] | None = None
) -> Seen:
    """Send single texts one after another.

    Args:
        target: where to.
        texts: what to send.
        seconds: how long.
        before: called with each text before it is sent.
    """
    seen = Seen()
    end = time.perf_counter() + seconds
    with (
        socket.create_connection((target.host, target.port), timeout=60) as connection,
        connection.makefile("rb") as answer,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while time.perf_counter() < end:
            (text,) = texts.take(1)
            if before is not None:
                before(text)
            request = target.request([text])
            sent = time.perf_counter()
            connection.sendall(request)
            status, headers = read_head(b"".join(iter(answer.readline, b"\r\n")))
            answer.read(int(headers["content-length"]))
            seen.note(status, headers, (time.perf_counter() - sent) * 1e3)
    return seen


async def closed_loop(
    target: Target, *, texts: UniqueTexts, clients: int, size: int, seconds: float
) -> tuple[float, Seen]:
    """Have ``clients`` each send the next request when the last is answered; give texts per second too."""
    seen = Seen()
    end = time.perf_counter() + seconds

    async def one() -> None:
        reader, writer = await asyncio.open_connection(target.host, target.port)
        while time.perf_counter() < end:
            request = target.request(texts.take(size))
            sent = time.perf_counter()
            writer.write(request)
            status, headers = read_head(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(int(headers["content-length"]))
            seen.note(status, headers, (time.perf_counter() - sent) * 1e3)
        writer.close()

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(clients)))
    return len(seen.answered_ms) * size / (time.perf_counter() - started), seen


def read_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Give an answer's status and headers, names in lower case."""
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    parted = (line.partition(":") for line in lines)
    return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in parted}


async def open_loop(
    client: aiohttp.ClientSession, url: str, field_name: str, *, texts: UniqueTexts, per_s: float, seconds: float
) -> Seen:
    """Send single texts at a rate, whatever the answers."""
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
    """Send one request and note the outcome."""
    started = time.perf_counter()
    try:
        async with client.post(url, data=body, headers={"content-type": "application/json"}) as response:
            await response.read()
            seen.note(response.status, response.headers, (time.perf_counter() - started) * 1e3)
    except (aiohttp.ClientError, TimeoutError):
        seen.failed += 1
