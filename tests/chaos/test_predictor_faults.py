"""Every way a predictor can go, under load: cached answers never notice; new texts are told when to come back."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from chaos.open_load import HOT, OpenLoad, Report, warm
from chaos.stack import Stack, knows_model, stack
from chaos.table import Keep, Pace
from support.predictor_double import PredictorDouble
from support.redis_server import RedisServer
from support.transformer_process import transformer


@pytest.fixture
async def rig(tmp_path: Path, redis: RedisServer) -> AsyncIterator[Stack]:
    async with stack(tmp_path, redis, TRANSFORMER_PREDICTOR_TIMEOUT_S="1") as running:
        await warm(running.url)
        yield running


def assert_only_misses_suffer(report: Report, *, healed_s: float, statuses: tuple[int, ...] = (503, 504)) -> None:
    assert report.samples
    assert not report.wrong
    assert not report.failed_hits
    failed = report.failed_misses
    assert {sample.status for sample in failed} <= set(statuses), report.statuses()
    assert all(sample.retry_after for sample in failed if sample.status in (503, 504))
    late = [sample for sample in report.samples if sample.at_s > healed_s]
    assert late
    assert late[-1].status == 200 or late[-2].status == 200


async def test_killed_predictor_fails_only_new_texts_until_it_is_back(rig: Stack, pace: Pace, keep: Keep) -> None:
    async with OpenLoad(url=rig.url, rate=pace.rate) as load:
        await asyncio.sleep(pace.before_s)
        await rig.predictor.end(signal.SIGKILL)
        await asyncio.sleep(pace.fault_s)
        await rig.predictor.start()
        load.mark("healed")
        await asyncio.sleep(pace.after_s)
    report = keep(load.report("predictor killed, started again"))
    assert report.failed_misses
    assert_only_misses_suffer(report, healed_s=load.marks["healed"])
    assert report.recovery_s == 0


@pytest.mark.long
async def test_stopped_predictor_fails_only_new_texts_until_it_goes_on(rig: Stack, pace: Pace, keep: Keep) -> None:
    async with OpenLoad(url=rig.url, rate=pace.rate) as load:
        await asyncio.sleep(pace.before_s)
        rig.predictor.send(signal.SIGSTOP)
        await asyncio.sleep(pace.fault_s)
        rig.predictor.send(signal.SIGCONT)
        load.mark("healed")
        await asyncio.sleep(pace.after_s)
    report = keep(load.report("predictor stopped (SIGSTOP)"))
    assert report.failed_misses
    assert_only_misses_suffer(report, healed_s=load.marks["healed"])


@pytest.mark.long
async def test_restarted_predictor_fails_only_new_texts_in_the_gap(rig: Stack, pace: Pace, keep: Keep) -> None:
    async with OpenLoad(url=rig.url, rate=pace.rate) as load:
        await asyncio.sleep(pace.before_s)
        for _ in range(3):
            await rig.predictor.end(signal.SIGTERM)
            await rig.predictor.start()
            await asyncio.sleep(pace.fault_s / 3)
        load.mark("healed")
        await asyncio.sleep(pace.after_s)
    assert_only_misses_suffer(keep(load.report("predictor restarted three times")), healed_s=load.marks["healed"])


async def test_process_that_starts_without_a_predictor_serves_what_is_cached(
    rig: Stack, tmp_path: Path, pace: Pace, keep: Keep
) -> None:
    await rig.predictor.end(signal.SIGKILL)
    async with transformer(
        tmp_path, predictor_host=rig.predictor.host, TRANSFORMER_REDIS_URL=rig.redis.url, TRANSFORMER_L1_ENTRIES="0"
    ) as late:
        async with OpenLoad(url=late.url, rate=pace.rate) as load:
            await asyncio.sleep(pace.fault_s)
            await rig.predictor.start()
            load.mark("healed")
            await asyncio.sleep(pace.after_s)
    report = keep(load.report("transformer started while the predictor was away"))
    assert report.failed_misses
    assert_only_misses_suffer(report, healed_s=load.marks["healed"])
    assert {sample.cache for sample in report.of("hit")} == {"hit"}


# --- a predictor that misbehaves ----------------------------------------------------------------------------------

Handler = Callable[[web.Request], Awaitable[web.StreamResponse | None]]


def says(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse | None:
    assert request.transport is not None
    request.transport.close()
    return None


async def closes_afterwards(request: web.Request) -> web.StreamResponse | None:
    """Answer in full, then close a connection that was to be kept, without a word."""
    assert request.transport is not None
    asyncio.get_running_loop().call_later(0.005, request.transport.close)
    return None


async def is_slow(_: web.Request) -> web.StreamResponse | None:
    await asyncio.sleep(1.5)
    return None


NONSENSE = (
    b"", b"{", b"[]", b"null", b'{"outputs": []}', b"\xff\xfe", b"<html>busy</html>",
    b'{"model_version": "evil", "parameters": {"labels": "[\\"A\\",\\"B\\"]"}, "outputs": []}',
    (b'{"model_version": "evil", "parameters": {"labels": "[\\"A\\"]"}, '
    b'"outputs": [{"name": "scores", "data": [7.5]}]}'),
    (b'{"model_version": "evil\\r\\nx-injected: 1", "parameters": {"labels": "[\\"A\\"]"}, '
    b'"outputs": [{"name": "scores", "data": [1.0]}]}'),
)  # fmt: skip


async def talks_rubbish(_: web.Request) -> web.StreamResponse | None:
    return web.Response(body=random.choice(NONSENSE))


MISBEHAVIOUR: dict[str, tuple[Handler, tuple[int, ...]]] = {
    "predictor answers rubbish": (talks_rubbish, (502,)),
    "predictor answers 500": (says(500, b"Traceback: secret"), (500,)),
    "predictor answers 503": (says(503, **{"Retry-After": "2"}), (503,)),
    "predictor answers 429": (says(429), (503,)),
    "predictor hangs up": (hangs_up, (503,)),
    "predictor slow (1.5 s, deadline 1 s)": (is_slow, (503, 504)),
    "predictor closes kept connections": (closes_afterwards, ()),
}


@pytest.mark.long
@pytest.mark.parametrize("name", MISBEHAVIOUR)
async def test_misbehaving_predictor_fails_only_new_texts(
    name: str, predictor: PredictorDouble, redis: RedisServer, tmp_path: Path, pace: Pace, keep: Keep
) -> None:
    handler, statuses = MISBEHAVIOUR[name]
    async with transformer(
        tmp_path, predictor_host=predictor.host, TRANSFORMER_REDIS_URL=redis.url, TRANSFORMER_L1_ENTRIES="0",
        TRANSFORMER_PREDICTOR_TIMEOUT_S="1",
    ) as process:  # fmt: skip
        await knows_model(process.url)
        await warm(process.url)
        async with OpenLoad(url=process.url, rate=pace.rate) as load:
            await asyncio.sleep(pace.before_s)
            predictor.intercept = handler
            await asyncio.sleep(pace.fault_s)
            predictor.intercept = None
            load.mark("healed")
            await asyncio.sleep(pace.after_s)
        report = keep(load.report(name))
        assert_only_misses_suffer(report, healed_s=load.marks["healed"], statuses=statuses)
        assert bool(report.failed_misses) == bool(statuses)
        async with aiohttp.ClientSession() as session, session.post(process.url + "/", json={"text": HOT}) as answer:
            assert answer.headers["x-model-version"] == "v1"
            assert "secret" not in process.output()
