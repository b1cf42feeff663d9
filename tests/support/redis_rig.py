"""Transformers whose only cache is a real Redis, so that what is seen is Redis's doing."""

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from support.predictor_double import PredictorDouble, prediction
from support.processes import Server
from support.redis_server import RedisServer
from support.transformer_process import Answer, Client, transformer

NO_MEMORY = {"TRANSFORMER_L1_ENTRIES": "0"}
Run = Callable[..., AbstractAsyncContextManager["LoggedClient"]]


class LoggedClient(Client):
    """A client of a transformer whose log can be read."""

    def __init__(self, process: Server) -> None:
        super().__init__(process.url)
        self._process = process

    def said(self, event: str) -> list[dict[str, Any]]:
        """Give what was logged of an event."""
        lines = [json.loads(line) for line in self._process.output().splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]


def runner(predictor: PredictorDouble, folder: Path) -> Run:
    """Give what runs a transformer with a Redis URL and other settings, and a client of it."""

    @asynccontextmanager
    async def start(redis_url: str, **env: str) -> AsyncIterator[LoggedClient]:
        async with transformer(
            folder, predictor_host=predictor.host, **{"TRANSFORMER_REDIS_URL": redis_url, **NO_MEMORY, **env}
        ) as process:
            client = LoggedClient(process)
            await eventually(lambda: knows_version(client))
            try:
                yield client
            finally:
                await client.session.close()

    return start


async def knows_version(client: Client) -> bool:
    """Say whether it knows which model is served."""
    return bool((await client.get("/health")).json()["model_version"])


async def eventually(check: Callable[[], Awaitable[bool]], *, within_s: float = 10) -> float:
    """Wait until ``check`` holds; give the seconds it took."""
    started = time.monotonic()
    while not await check():
        assert time.monotonic() - started < within_s, "did not happen in time"
        await asyncio.sleep(0.05)
    return time.monotonic() - started


def assert_right(answer: Answer, *texts: str, version: str = "v1") -> None:
    """Check that an answer is the double's own for these texts."""
    assert answer.status == 200, answer
    got = [
        [pair | {"score": struct.unpack("<f", struct.pack("<f", pair["score"]))[0]} for pair in each]
        for each in answer.json()["predictions"]
    ]
    assert got == [prediction(text, version) for text in texts]


async def store(client: Client, redis: RedisServer, *texts: str) -> None:
    """Ask for texts and wait until Redis has them: writes leave after the answer."""
    assert_right(await client.predict(*texts), *texts)
    await eventually(lambda: all_stored(redis, *texts))


async def all_stored(redis: RedisServer, *texts: str) -> bool:
    """Say whether Redis has the answers."""
    with redis.client() as link:
        return all(link.exists(key_of(text)) for text in texts)


def key_of(text: str, version: str = "v1") -> bytes:
    """Give the key of a text, without a cache secret."""
    digest = blake2b(text.encode(), digest_size=16).hexdigest()
    return f"sentiment:1:{version}:{digest}".encode()


async def degraded(client: Client) -> float:
    """Give the gauge."""
    return await client.metric("transformer_degraded")


async def is_degraded(client: Client) -> bool:
    """Say whether the gauge is 1."""
    return await degraded(client) == 1


async def hits(client: Client, text: str) -> bool:
    """Ask for a text, check the answer, say whether it was cached."""
    answer = await client.predict(text)
    assert_right(answer, text)
    return answer.headers["x-cache"] == "hit"


def lookup_ms(answer: Answer) -> float:
    """Give the server's own time of the look-up."""
    return float(answer.headers["server-timing"].split("lookup;dur=")[1].split(",")[0])
