"""Nothing is lost on the way down: SIGTERM, SIGKILL, replacement under load, and Knative's order of events."""
# ruff: noqa: ASYNC110, FBT001  # a test polls other processes; parameters are pytest's

import asyncio
import contextlib
import signal
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from chaos.balancer import Balancer
from chaos.kubelet import Kubelet
from chaos.open_load import OpenLoad, double_said, warm
from chaos.queue_proxy import QueueProxy
from chaos.service import Service
from chaos.stack import PredictorProcess, knows_model, predictor_process, stack
from chaos.table import FULL, Keep, Pace
from support.predictor_double import PredictorDouble
from support.processes import Server
from support.redis_server import RedisServer
from support.transformer_process import Client, transformer

from local.ports import free_port


async def opens(port: int) -> bool:
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


async def test_sigterm_lets_readiness_fall_before_the_port_closes_and_finishes_what_is_under_way(
    predictor: PredictorDouble, tmp_path: Path
) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host, TRANSFORMER_DRAIN_S="1.5") as process:
        client = Client(process.url)
        try:
            assert (await client.predict("warm")).status == 200
            predictor.delay_s = 2.5
            under_way = [asyncio.create_task(client.predict(f"under way {n}")) for n in range(20)]
            await asyncio.sleep(0.5)
            process.process.send_signal(signal.SIGTERM)
            seen = await watch(process)
            answers = await asyncio.gather(*under_way)
            assert [answer.status for answer in answers] == [200] * 20
            assert "connection" in answers[0].headers
            assert await asyncio.to_thread(process.process.wait, 30) == 0
        finally:
            await client.session.close()
    # Readiness fell while the port still took connections and answered requests; then the port closed.
    assert seen["not ready, port open"] > 0
    assert seen["answered while not ready"] > 0
    assert seen["refused while ready"] == 0


async def watch(process: Server) -> dict[str, int]:
    """Look at readiness and port until the port is closed; each look on a new connection."""
    seen = dict.fromkeys(("not ready, port open", "answered while not ready", "refused while ready"), 0)
    ready = True
    async with asyncio.timeout(20):
        while True:
            async with aiohttp.ClientSession() as session:
                try:
                    async with session.get(process.url + "/v2/health/ready") as answer:
                        ready = answer.status == 200
                    if not ready:
                        seen["not ready, port open"] += 1
                        async with session.post(process.url + "/predict", json={"text": ["warm"]}) as answer:
                            seen["answered while not ready"] += answer.status == 200
                except aiohttp.ClientConnectorError:
                    seen["refused while ready"] += ready
                    return seen
                except aiohttp.ClientError:
                    pass  # the port closed between the two requests
            await asyncio.sleep(0.05)


async def test_every_answer_on_the_way_down_closes_its_connection(predictor: PredictorDouble, tmp_path: Path) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host, TRANSFORMER_DRAIN_S="5") as process:
        client = Client(process.url)
        try:
            assert "connection" not in (await client.predict("a")).headers
            process.process.send_signal(signal.SIGTERM)
            while (await client.get("/v2/health/ready")).status == 200:
                await asyncio.sleep(0.02)
            for path in ("/predict", "/nowhere"):
                assert (await client.post(path, b'{"text": ["a"]}')).headers["connection"] == "close"
            for path in ("/health", "/v2/health/ready", "/v1/models/sentiment", "/v2/models/sentiment/ready"):
                answer = await client.get(path)
                assert (answer.status, answer.json()["code"]) == (503, "draining")
                assert answer.headers["retry-after"] == "1"
            assert (await client.get("/v2/health/live")).status == 200
            process.process.send_signal(signal.SIGTERM)  # a second one means now
            assert await asyncio.to_thread(process.process.wait, 4) == 0
        finally:
            await client.session.close()


@pytest.mark.long
async def test_killed_transformer_fails_only_what_it_held_and_is_back_at_once(
    tmp_path: Path, redis: RedisServer, pace: Pace, keep: Keep
) -> None:
    async with stack(tmp_path, redis) as rig:
        await warm(rig.url)
        async with OpenLoad(url=rig.url, rate=pace.rate) as load:
            await asyncio.sleep(pace.before_s)
            load.mark("killed")
            rig.process.process.kill()
            rig.process.process.wait()
            async with transformer(
                tmp_path, predictor_host=rig.predictor.host, port=rig.process.port, TRANSFORMER_REDIS_URL=redis.url
            ):
                load.mark("healed")
                await asyncio.sleep(pace.after_s)
                await load.__aexit__(None, None, None)
        report = keep(load.report("transformer killed, started again"))
        assert not report.wrong
        gone = [sample for sample in report.samples if sample.status != 200]
        # A dead process answers nothing; that the cache outlived it shows in the first answers of the next one.
        assert {sample.status for sample in gone} == {0}
        assert all(load.marks["killed"] - 2 < sample.at_s for sample in gone)
        assert report.recovery_s is not None
        late = [sample for sample in report.of("hit") if sample.at_s > load.marks["healed"]]
        found = [sample.cache for sample in late if sample.status == 200]
        assert found.count("hit") > 0.8 * len(found)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("real", [False, True], ids=["doubles", "real predictors"])
async def test_rolling_replacement_of_both_components_loses_nothing(
    real: bool, tmp_path: Path, redis: RedisServer, pace: Pace, keep: Keep
) -> None:
    front, back = (
        Balancer(ready_path="/v2/health/ready"),
        Balancer(ready_path="/v2/health/ready" if real else "/v2/models/sentiment"),
    )
    async with contextlib.AsyncExitStack() as ends:
        for balancer in (front, back):
            await balancer.start()
            ends.push_async_callback(balancer.stop)

        async def new_predictor(version: str) -> PredictorProcess:
            longest = {"PREDICTOR_MAX_LENGTH_TOKENS": {"v1": "512", "v2": "256"}[version]}
            one = await ends.enter_async_context(
                predictor_process(tmp_path, version=None if real else version, **longest)
            )
            await back.add(one.port)
            return one

        async def new_transformer() -> Server:
            one = await ends.enter_async_context(
                transformer(
                    tmp_path, predictor_host=back.host, port=free_port(), TRANSFORMER_REDIS_URL=redis.url,
                    TRANSFORMER_DRAIN_S="3",
                )
            )  # fmt: skip
            await knows_model(one.url)
            await front.add(one.port)
            return one

        old_predictors = [await new_predictor("v1") for _ in range(2)]
        old_transformers = [await new_transformer() for _ in range(2)]
        url = f"http://{front.host}"
        await warm(url)
        async with OpenLoad(
            url=url, rate=pace.rate, check=(lambda *_: True) if real else double_said, timeout_s=20
        ) as load:
            await asyncio.sleep(pace.before_s)
            for old in old_predictors:
                await new_predictor("v2")
                await old.end(signal.SIGTERM)
                back.remove(old.port)
            for process in old_transformers:
                await new_transformer()
                process.process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.process.wait, 30) == 0
                front.remove(process.port)
            load.mark("healed")
            await asyncio.sleep(pace.after_s)
        report = keep(load.report(f"both replaced one by one, {'real predictors' if real else 'doubles'}"))
        assert not report.wrong
        assert not report.statuses()
        assert len({sample.version for sample in report.samples}) == 2


@pytest.mark.timeout(300)
async def test_order_of_knative_loses_nothing_and_ends_in_time(
    predictor: PredictorDouble, tmp_path: Path, pace: Pace, keep: Keep
) -> None:
    quiet_s, grace_s = (30.0, 60.0) if FULL else (1.0, 20.0)
    async with two_pods(predictor, tmp_path, quiet_s=quiet_s, grace_s=grace_s) as (leaving, staying, front):
        url = f"http://{front.host}"
        await warm(url)
        async with OpenLoad(url=url, rate=pace.rate) as load:
            await asyncio.sleep(pace.before_s)
            ending = await leaving.end_pod()
            load.mark("healed")
            await asyncio.sleep(pace.after_s)
        report = keep(load.report(f"pod ended in Knative's order ({quiet_s:.0f} s quiet)"))
        assert not report.wrong
        assert not report.statuses()
        assert front.ready(staying.port)
        assert not front.ready(leaving.port)
    assert (ending.status, ending.killed) == (0, False)
    # SIGTERM comes only after the quiet period, which the last straggler began.
    assert ending.sigterm_s - ending.last_request_s >= quiet_s
    assert ending.ended_s < grace_s


@contextlib.asynccontextmanager
async def two_pods(
    predictor: PredictorDouble, folder: Path, *, quiet_s: float, grace_s: float
) -> AsyncIterator[tuple[QueueProxy, QueueProxy, Balancer]]:
    """Run two transformers, each behind its own queue-proxy, behind one balancer."""
    front = Balancer(ready_path="/v2/health/ready")
    async with contextlib.AsyncExitStack() as ends:
        await front.start()
        proxies = []
        for _ in range(2):
            process = await ends.enter_async_context(
                transformer(folder, predictor_host=predictor.host, TRANSFORMER_DRAIN_S="2")
            )
            proxy = QueueProxy(process=process, quiet_s=quiet_s, grace_s=grace_s)
            await proxy.start()
            ends.push_async_callback(proxy.stop)
            await front.add(proxy.port)
            proxies.append(proxy)
        ends.push_async_callback(front.stop)
        yield proxies[0], proxies[1], front


@pytest.mark.timeout(300)
@pytest.mark.parametrize("component", ["transformer", "predictor"])
async def test_order_of_standard_mode_loses_nothing_though_endpoints_learn_late(
    component: str, predictor: PredictorDouble, tmp_path: Path, pace: Pace, keep: Keep
) -> None:
    learns_after_s, pre_stop_s = (8.0, 10.0) if FULL else (2.0, 2.5)
    async with deployment(component, predictor, tmp_path, drain_s=1.0) as (pods, service, url):
        kubelet = Kubelet(service=service, learns_after_s=learns_after_s, pre_stop_s=pre_stop_s, grace_s=60)
        async with OpenLoad(url=url, rate=pace.rate, check=(lambda *_: True)) as load:
            await asyncio.sleep(pace.before_s)
            ending = await kubelet.end_pod(pods[0])
            load.mark("healed")
            await asyncio.sleep(pace.after_s)
        report = keep(load.report(f"{component} ended in Standard mode's order"))
    assert not report.wrong
    assert not report.statuses()
    assert (ending.status, ending.killed) == (0, False)
    assert ending.sigterm_s >= pre_stop_s


@pytest.mark.timeout(300)
async def test_without_the_pause_before_sigterm_a_late_endpoint_costs_requests(
    predictor: PredictorDouble, tmp_path: Path
) -> None:
    # What the order above is for: the process is gone before the balancer knows, and new connections still go there.
    async with deployment("transformer", predictor, tmp_path, drain_s=0.2) as (pods, _, url):
        pods[0].process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(pods[0].process.wait, 30)
        answered = [await asyncio.to_thread(answers_on_a_new_connection, url) for _ in range(8)]
    assert not all(answered)
    assert any(answered)


def answers_on_a_new_connection(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/predict", b'{"text": ["I love you."]}', timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextlib.asynccontextmanager
async def deployment(
    component: str, predictor: PredictorDouble, folder: Path, *, drain_s: float
) -> AsyncIterator[tuple[list[Server], Service, str]]:
    """Run two pods of a component behind a Service; the other component has one, or is a double."""
    service = Service()
    async with contextlib.AsyncExitStack() as ends:
        await service.start()
        ends.push_async_callback(service.stop)
        pods: list[Server] = []
        for _ in range(2):
            if component == "transformer":
                pod = await ends.enter_async_context(
                    transformer(folder, predictor_host=predictor.host, TRANSFORMER_DRAIN_S=str(drain_s))
                )
            else:
                real = predictor_process(folder, version=None, PREDICTOR_DRAIN_S=str(drain_s))
                made = (await ends.enter_async_context(real)).process
                assert made is not None
                pod = made
            pods.append(pod)
            service.add(pod.port)
        url = f"http://{service.host}"
        if component == "predictor":
            url = (await ends.enter_async_context(transformer(folder, predictor_host=service.host))).url
            await knows_model(url)
        await warm(url)
        yield pods, service, url
