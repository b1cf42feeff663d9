"""A cluster's DNS that falls silent: new pods refuse in time and say so once, old ones never notice."""
# ruff: noqa: ASYNC110, ASYNC220  # another process gives no event, and starts at once

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from chaos.stack import PredictorProcess
from support.name_server import NameServer
from support.processes import REPO, Server, environment
from support.programs import require_root
from support.redis_server import RedisServer
from support.transformer_process import Client, command

from local.ports import free_port


@pytest.fixture
def names() -> Iterator[NameServer]:
    require_root("a name server and mounts")
    with NameServer() as server:
        yield server


@pytest.fixture
async def predictor(tmp_path: Path) -> AsyncIterator[PredictorProcess]:
    process = PredictorProcess(folder=tmp_path, version="v1")
    await process.start()
    yield process
    await process.close()


@contextlib.asynccontextmanager
async def transformer(
    folder: Path, names: NameServer, predictor: PredictorProcess, redis: RedisServer
) -> AsyncIterator[Server]:
    port = free_port()
    module = command(predictor_host=f"sentiment-predictor:{predictor.port}", port=port)
    env = environment(TRANSFORMER_DRAIN_S="0", TRANSFORMER_REDIS_URL=f"redis://sentiment-redis:{redis.port}/0")
    log = folder / "transformer.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            names.command(folder, sys.executable, *module), cwd=REPO, env=env, stdout=out, stderr=subprocess.STDOUT
        )
    running = Server(process=process, port=port, log=log)
    try:
        await asyncio.to_thread(running.wait_until_ready, "/v2/health/ready")
        yield running
    finally:
        # Nothing of a look-up under way may hold the end up.
        assert await asyncio.to_thread(running.stop, timeout_s=20) == 0


async def test_pod_that_starts_without_dns_refuses_new_texts_in_time_and_recovers(
    tmp_path: Path, names: NameServer, predictor: PredictorProcess, redis: RedisServer
) -> None:
    names.silent = True
    async with transformer(tmp_path, names, predictor, redis) as running, client(running) as asking:
        for round_ in range(4):
            answers = await asyncio.gather(*(asking.predict(f"text {round_} {n}") for n in range(5)))
            # A deadline that passes would be a 504.
            assert {answer.status for answer in answers} == {503}
            assert {answer.json()["code"] for answer in answers} == {"predictor_unavailable"}
            assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
            await asyncio.sleep(1)
        said = running.output()
        # One line for the predictor's name and one for Redis'.
        assert said.count("a name cannot be found") == 2, said
        assert "never retrieved" not in said
        names.silent = False
        async with asyncio.timeout(20):
            while (await asking.predict("afterwards")).status != 200:
                await asyncio.sleep(0.1)


async def test_pod_that_knows_addresses_goes_on_without_dns(
    tmp_path: Path, names: NameServer, predictor: PredictorProcess, redis: RedisServer
) -> None:
    async with transformer(tmp_path, names, predictor, redis) as running, client(running) as asking:
        assert (await asking.predict("before")).status == 200
        names.silent = True
        await predictor.end()
        await predictor.start()
        await asyncio.to_thread(redis.kill)
        answers = [(await asking.predict(f"between {n}")).status for n in range(5)]
        assert answers == [200] * 5
        await asyncio.to_thread(redis.start)
        async with asyncio.timeout(20):
            while await asking.metric("transformer_degraded"):
                await asyncio.sleep(0.1)
        assert [(await asking.predict(f"after {n}")).status for n in range(5)] == [200] * 5
        assert "never retrieved" not in running.output()


@contextlib.asynccontextmanager
async def client(running: Server) -> AsyncIterator[Client]:
    made = Client(running.url)
    try:
        yield made
    finally:
        await made.session.close()
