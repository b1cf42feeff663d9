"""Starts the real transformer as a process."""

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from support.processes import Server, server

from local.ports import free_port


def command(*, predictor_host: str, port: int, grpc_port: int | None = None) -> list[str]:
    """Give the command line, as a container has it."""
    grpc = [f"--grpc_port={grpc_port}"] if grpc_port else ["--enable_grpc=false"]
    return [
        "-m", "transformer", "--model_name=sentiment", f"--predictor_host={predictor_host}", f"--http_port={port}",
        "--workers=1", *grpc,
    ]  # fmt: skip


@contextlib.asynccontextmanager
async def transformer(
    folder: Path, *, predictor_host: str, port: int | None = None, grpc_port: int | None = None, **env: str
) -> AsyncIterator[Server]:
    """Run a transformer until the block ends; the loop goes on meanwhile, so a double can live on it."""
    port = port or free_port()
    running = server(
        command(predictor_host=predictor_host, port=port, grpc_port=grpc_port),
        port=port, log=folder / f"transformer-{port}.log", ready="/v2/health/ready",
        env={"TRANSFORMER_DRAIN_S": "0", **env},
    )  # fmt: skip
    process = await asyncio.to_thread(running.__enter__)
    try:
        yield process
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


class Client:
    """Posts texts and keeps what came back."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))

    async def predict(self, *texts: str, path: str = "/predict", **headers: str) -> "Answer":
        """Post ``{"text": [...]}``."""
        async with self.session.post(self.url + path, json={"text": texts}, headers=headers) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def post(self, path: str, body: bytes, **headers: str) -> "Answer":
        """Post bytes."""
        async with self.session.post(self.url + path, data=io.BytesIO(body), headers=headers) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def get(self, path: str, method: str = "GET") -> "Answer":
        """Get a page."""
        async with self.session.request(method, self.url + path) as response:
            return Answer(response.status, response.headers.copy(), await response.read())

    async def metric(self, line: str) -> float:
        """Give the value of a series, named as the page writes it; 0 if it is absent."""
        page = (await self.get("/metrics")).body.decode()
        for each in page.splitlines():
            if each.startswith(line + " "):
                return float(each.rsplit(" ", 1)[1])
        return 0.0


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        """Parse the body."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        return f"{self.status} {self.body[:300]!r}"
