"""A process that runs short of descriptors, disk or a steady clock: it loses nothing that it could serve."""

# ruff: noqa: ASYNC220, ASYNC230  # a test may wait while it starts a process
import asyncio
import resource
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from chaos.open_load import OpenLoad, warm
from chaos.stack import knows_model, resources
from chaos.table import Keep, Pace
from chaos.test_limits import REQUEST, connections
from support.predictor_double import PredictorDouble
from support.processes import REPO, TINY_MODEL, Server, environment, server
from support.transformer_process import Answer, Client, transformer

from local.ports import free_port


async def test_descriptor_limit_is_survived(predictor: PredictorDouble, tmp_path: Path) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host) as process:
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        await ask(reader, writer)
        used = resources(process.process)["descriptors"]
        resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (used + 20, used + 20))
        with connections(process.port, 200):
            await asyncio.sleep(0.5)
            assert resources(process.process)["descriptors"] <= used + 20
            for _ in range(5):
                await ask(reader, writer)  # an open connection and the cache go on
        writer.close()
        fresh = Client(process.url)
        try:
            for text in ("warm", "needs the predictor"):  # and so do new ones, once there is room
                assert (await once_there_is_room(fresh, text)).status == 200
        finally:
            await fresh.session.close()


async def once_there_is_room(client: Client, text: str) -> Answer:
    """Ask until a connection is taken: the server closes the many at its own pace."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await client.predict(text)
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for the warm text on a connection that is open already."""
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    length = next(
        int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    await reader.readexactly(length)


@pytest.mark.long
async def test_wall_clock_that_jumps_changes_nothing(
    predictor: PredictorDouble, tmp_path: Path, pace: Pace, keep: Keep
) -> None:
    port = free_port()
    launcher = str(Path(__file__).with_name("jumping_clock.py"))
    command = [
        launcher, "--model_name=sentiment", f"--predictor_host={predictor.host}", f"--http_port={port}", "--workers=1",
        "--enable_grpc=false",
    ]  # fmt: skip
    running = server(
        command, port=port, log=tmp_path / "clock.log", ready="/v2/health/ready",
        env={"PYTHONPATH": str(REPO), "TRANSFORMER_DRAIN_S": "0"},
    )  # fmt: skip
    process = await asyncio.to_thread(running.__enter__)
    try:
        await knows_model(process.url)
        await warm(process.url)
        async with OpenLoad(url=process.url, rate=pace.rate) as load:
            await asyncio.sleep(pace.before_s)
            process.process.send_signal(signal.SIGUSR1)
            await asyncio.sleep(pace.fault_s / 2)
            process.process.send_signal(signal.SIGUSR2)
            await asyncio.sleep(pace.fault_s / 2)
            load.mark("healed")
            await asyncio.sleep(pace.after_s)
        assert process.output().count("the clock jumped") == 2
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)
    report = keep(load.report("wall clock: +1 day, then -2 days"))
    assert not report.wrong
    assert not report.statuses()
    assert {sample.cache for sample in report.of("hit")} == {"hit"}


@pytest.mark.long
async def test_log_that_cannot_be_written_changes_nothing(predictor: PredictorDouble) -> None:
    port = free_port()
    command = [
        sys.executable, "-m", "transformer", "--model_name=sentiment", f"--predictor_host={predictor.host}",
        f"--http_port={port}", "--workers=1", "--enable_grpc=false",
    ]  # fmt: skip
    env = environment(TRANSFORMER_ACCESS_LOG="true", TRANSFORMER_DRAIN_S="0")
    with Path("/dev/full").open("wb") as full:
        running = subprocess.Popen(command, cwd=REPO, env=env, stdout=full, stderr=full)
    process = Server(process=running, port=port, log=Path("/dev/null"))
    try:
        await asyncio.to_thread(process.wait_until_ready, "/v2/health/ready")
        await knows_model(process.url)
        await warm(process.url)
        async with OpenLoad(url=process.url, rate=40) as load:
            await asyncio.sleep(1)
        report = load.report("log on a full disk")
        assert report.samples
        assert not report.statuses()
    finally:
        # An interpreter that cannot flush its last words says so in its status; it has to end all the same.
        assert await asyncio.to_thread(process.stop) in (0, 120)


@pytest.mark.long
async def test_compile_cache_on_a_full_disk_keeps_nobody_from_serving(tmp_path: Path) -> None:
    port = free_port()
    cache = tmp_path / "cache"
    cache.mkdir()
    command = [
        sys.executable,
        "-m",
        "predictor",
        "--model_name=sentiment",
        f"--http_port={port}",
        "--enable_grpc=false",
    ]
    env = environment(PREDICTOR_MODEL_DIR=str(TINY_MODEL), PREDICTOR_COMPILE_CACHE_DIR=str(cache))
    limited = (
        f"import resource, os; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); os.execv({command[0]!r}, {command!r})"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", limited], cwd=REPO, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    process = Server(process=running, port=port, log=Path("/dev/null"))
    try:
        await asyncio.to_thread(process.wait_until_ready, "/v2/health/ready")
        one = Client(process.url)
        answer = await one.post("/v1/models/sentiment:predict", b'{"instances": ["good"]}')
        assert answer.status == 200, answer
        await one.session.close()
        assert sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) == 0
    finally:
        running.terminate()
        running.communicate(timeout=40)
