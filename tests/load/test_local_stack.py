"""The real stack: what the capacity tools start, drive and measure."""

import argparse
import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from support.processes import server

from load.capacity.calibrate import PHASES, calibrate
from load.capacity.cli import times_of
from load.capacity.drive import run_scenario
from load.capacity.stack import Stack, running_stack
from local.ports import free_port


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with running_stack(threads=1) as running:
        yield running


def test_the_smoke_scenario_passes_against_the_service(stack: Stack, k6_run: Callable) -> None:  # type: ignore[type-arg]
    ran = k6_run("smoke", stack.url, DURATION_S=2)
    assert ran.status == 0, ran.said


def test_the_service_refuses_every_bad_input_as_promised(stack: Stack, k6_run: Callable) -> None:  # type: ignore[type-arg]
    ran = k6_run("bad_input", stack.url, DURATION_S=2)
    assert ran.status == 0, ran.said
    assert len([check for check in ran.result["checks"] if " gets " in check["name"]]) >= 30


def test_a_run_is_billed_to_the_processes_that_did_the_work(stack: Stack) -> None:
    seen = run_scenario(stack, "saturate", VUS=2, DURATION_S=1, HIT_RATE=0, SIZE=4)
    assert seen.cpu_s["predictor"] > 0
    assert seen.cpu_s["k6"] > 0
    # Each forwarded request is in some batch, and no batch is empty.
    assert 0 < seen.batches <= 2 * seen.result["requests"]["count"]


def test_a_run_without_result_says_why(stack: Stack) -> None:
    with pytest.raises(RuntimeError, match="RATE must be a number"):
        run_scenario(stack, "cache_mix", RATE="fast")


def test_calibration_gives_service_times_that_a_plan_can_read(stack: Stack, tmp_path: Path) -> None:
    found = calibrate(stack, threads=1, phase_s=1, source="test")
    assert [row["phase"] for row in found["phases"]] == [phase.name for phase in PHASES]
    path = tmp_path / "times.json"
    path.write_text(json.dumps(found))
    options = argparse.Namespace(times=path, speed=1.0, threads=None)
    times = times_of(options)
    assert 0 < times.transformer_s(texts=1, forwarded=False) < times.transformer_s(texts=1, forwarded=True) < 0.1
    assert 0 < times.batch_of(requests=1, chars=100) < 0.5
    assert 0 < times.size_s < 0.5
    assert found["generator_s"] > 0
    assert found["effective_threads"] == 1


def test_a_stack_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"config\.json"), running_stack(model_dir=tmp_path, with_redis=False):
        pass


@pytest.fixture
async def upstreams() -> AsyncIterator[list[tuple[int, list[str]]]]:
    """Two upstreams on free ports, each noting the paths it was asked."""
    runners, seen = [], []
    for number in range(2):
        asked: list[str] = []

        async def answer(request: web.Request, asked: list[str] = asked, number: int = number) -> web.Response:
            asked.append(request.path_qs)
            await asyncio.sleep(0.05)
            body = {"upstream": number, "sent": await request.text(), "trace": request.headers.get("traceparent")}
            return web.json_response(body, status=201, headers={"x-model-version": "v"})

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        runners.append(runner)
        seen.append((port, asked))
    yield seen
    for runner in runners:
        await runner.cleanup()


def post(url: str) -> tuple[int, dict[str, object], str | None]:
    request = urllib.request.Request(url, b"payload", {"traceparent": "00-aa"}, method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.status, json.loads(answer.read()), answer.headers["x-model-version"]


async def test_the_balancer_forwards_faithfully_and_spreads(
    upstreams: list[tuple[int, list[str]]], tmp_path: Path
) -> None:
    ports = [str(port) for port, _ in upstreams]
    port = free_port()
    command = ["-m", "load.capacity.balancer", str(port), *(f"127.0.0.1:{each}" for each in ports)]
    with server(command, port=port, log=tmp_path / "log", ready=None) as running:
        await asyncio.to_thread(wait_for_port, port)
        answers = await asyncio.gather(*(asyncio.to_thread(post, f"{running.url}/v2/x?y={n}") for n in range(12)))
    assert {status for status, _, _ in answers} == {201}
    assert all(body["sent"] == "payload" and body["trace"] == "00-aa" for _, body, _ in answers)
    assert {version for _, _, version in answers} == {"v"}
    counts = [sum(path.startswith("/v2/x") for path in asked) for _, asked in upstreams]
    assert sum(counts) == 12
    assert min(counts) >= 3


def wait_for_port(port: int) -> None:
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("the balancer does not listen")


def test_the_balancer_says_503_when_an_upstream_is_gone(tmp_path: Path) -> None:
    gone, port = free_port(), free_port()
    command = ["-m", "load.capacity.balancer", str(port), f"127.0.0.1:{gone}"]
    with server(command, port=port, log=tmp_path / "log", ready=None):
        wait_for_port(port)
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(f"http://127.0.0.1:{port}/x")
    with caught.value as answer:
        assert answer.code == 503
