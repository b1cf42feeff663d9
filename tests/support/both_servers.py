"""The transformer and the predictor as processes, for what must be true of both."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from support.connection_cases import Target
from support.predictor_double import PredictorDouble
from support.processes import Server, server
from support.transformer_process import Client, transformer

from local.ports import free_port

SERVERS = ("transformer", "predictor")
PATHS = {"transformer": "/predict", "predictor": "/v1/models/sentiment:predict"}
KEYS = {"transformer": "text", "predictor": "instances"}


class Site(NamedTuple):
    """One of the two, running.

    Attributes:
        name: which.
        server: its process.
        double: the transformer's predictor; its delay makes misses slow.
    """

    name: str
    server: Server
    double: PredictorDouble | None

    def target(self, *, direct: bool = True, miss: str = "new") -> Target:
        """Give the hot route, spelled so that it is answered without ASGI or through it, and its bodies."""
        path = PATHS[self.name] if direct else PATHS[self.name] + "?by=asgi"
        hit, new = (json.dumps({KEYS[self.name]: [text]}).encode() for text in ("known", miss))
        return Target(url=path.encode(), hit=hit, miss=new)


@contextlib.asynccontextmanager
async def site(name: str, folder: Path, **settings: str) -> AsyncIterator[Site]:
    """Run one of the two until the block ends; settings are named without their prefix."""
    env = {f"{name.upper()}_{key}": value for key, value in {"DRAIN_S": "0", **settings}.items()}
    if name == "predictor":
        port = free_port()
        command = ["-m", "predictor", "--model_name=sentiment", f"--http_port={port}", "--enable_grpc=false"]
        with server(command, port=port, log=folder / "predictor.log", ready="/v2/health/ready", env=env) as running:
            yield Site(name, running, None)
        return
    double = PredictorDouble()
    await double.start()
    try:
        async with transformer(
            folder, predictor_host=double.host, **{"TRANSFORMER_L1_TTL_S": "3600", **env}
        ) as running:
            client = Client(running.url)
            assert (await client.predict("known")).status == 200
            await client.session.close()
            yield Site(name, running, double)
    finally:
        await double.stop()
