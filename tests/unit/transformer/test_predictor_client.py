import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web
from support.predictor_double import LABELS, PredictorDouble, scores

from local.ports import free_port
from serving.errors import ServiceError
from transformer.errors import (
    PredictorFailedError,
    PredictorNonsenseError,
    PredictorRefusedError,
    PredictorTimeoutError,
    PredictorUnavailableError,
    VersionConflictError,
)
from transformer.metrics import Metrics
from transformer.pipeline.predictor_client import PredictorClient

Make = Callable[..., PredictorClient]


@pytest.fixture
async def client(predictor: PredictorDouble) -> AsyncIterator[Make]:
    """Make started clients of the double, closed at the end."""
    made = []

    async def start(**options: object) -> PredictorClient:
        settings = {
            "base_url": f"http://{predictor.host}", "model_name": "sentiment", "timeout_s": 2.0, "max_texts": 128,
            "connections": 10, "metrics": Metrics(), **options,
        }  # fmt: skip
        one = PredictorClient(**settings)
        await one.start()
        made.append(one)
        return one

    yield start
    for one in made:
        await one.close()


async def test_scores_come_back_in_order_with_version_and_labels(client: Make, predictor: PredictorDouble) -> None:
    predictor.truncates = {"b"}
    scored = await (await client()).score(["a", "b"], [])
    assert scored.version == "v1"
    assert tuple(scored.labels) == LABELS
    assert [tuple(row) for row in scored.scores] == [scores("a", "v1"), scores("b", "v1")]
    assert scored.truncated == {1}


async def test_metadata_names_version_and_labels(client: Make) -> None:
    assert await (await client()).metadata() == ("v1", list(LABELS), "softmax")


async def test_large_calls_are_split_and_merged_in_order(client: Make, predictor: PredictorDouble) -> None:
    texts = [f"t{n}" for n in range(11)]
    predictor.truncates = {"t9"}
    scored = await (await client(max_texts=4)).score(texts, [])
    assert sorted(map(len, predictor.calls)) == [3, 4, 4]
    assert [tuple(row) for row in scored.scores] == [scores(text, "v1") for text in texts]
    assert scored.truncated == {9}


async def test_split_call_comes_from_one_version(client: Make, predictor: PredictorDouble) -> None:
    predictor.versions = ("v1", "v2", "v2", "v2", "v2", "v2")
    texts = [f"t{n}" for n in range(6)]
    scored = await (await client(max_texts=2)).score(texts, [])
    assert [tuple(row) for row in scored.scores] == [scores(text, scored.version) for text in texts]


async def test_versions_that_never_agree_are_a_conflict(client: Make, predictor: PredictorDouble) -> None:
    predictor.versions = [f"v{n}" for n in range(1000)]
    with pytest.raises(VersionConflictError):
        await (await client(max_texts=1)).score(["a", "b"], [])


async def test_trace_headers_and_request_id_go_along_and_nothing_else(client: Make, predictor: PredictorDouble) -> None:
    sent = {
        "x-request-id": "r1", "traceparent": "00-aa-bb-01", "tracestate": "k=v", "b3": "1", "x-b3-traceid": "t",
        "authorization": "Bearer secret", "cookie": "c", "x-forwarded-for": "1.2.3.4",
    }  # fmt: skip
    await (await client()).score(["a"], [(k.encode(), v.encode()) for k, v in sent.items()])
    got = predictor.headers[0]
    assert {name: got[name] for name in ("x-request-id", "traceparent", "tracestate", "b3", "x-b3-traceid")} == {
        name: sent[name] for name in ("x-request-id", "traceparent", "tracestate", "b3", "x-b3-traceid")
    }
    assert not {"authorization", "cookie", "x-forwarded-for"} & set(got)
    assert 0 < int(got["x-request-timeout-ms"]) <= 2000


def answers(status: int, body: object = None, **headers: str) -> Callable[[web.Request], object]:
    async def intercept(_: web.Request) -> web.Response:
        return web.Response(status=status, text=json.dumps(body), headers=headers)

    return intercept


@pytest.mark.parametrize(
    ("status", "raised", "passed_on"),
    [
        (400, PredictorRefusedError, 400),
        (413, PredictorRefusedError, 413),
        (422, PredictorRefusedError, 422),
        (429, PredictorUnavailableError, 503),
        (500, PredictorFailedError, 500),
        (502, PredictorNonsenseError, 502),
        (503, PredictorUnavailableError, 503),
        (504, PredictorTimeoutError, 504),
        (302, PredictorNonsenseError, 502),
    ],
)
async def test_status_of_the_predictor_survives(
    client: Make, predictor: PredictorDouble, status: int, raised: type[ServiceError], passed_on: int
) -> None:
    predictor.intercept = answers(status, {"error": "http://inside/secret"})  # type: ignore[assignment]
    with pytest.raises(raised) as caught:
        await (await client()).score(["a"], [])
    assert caught.value.status == passed_on
    assert b"inside" not in caught.value.body()


async def test_retry_after_is_passed_on_within_reason(client: Make, predictor: PredictorDouble) -> None:
    for said, expected in (("7", 7), ("999999", 60), ("soon", 1), ("-3", 1)):
        predictor.intercept = answers(503, **{"Retry-After": said})  # type: ignore[assignment]
        with pytest.raises(PredictorUnavailableError) as caught:
            await (await client()).score(["a"], [])
        assert caught.value.retry_after_s == expected


GOOD = {
    "model_version": "v1",
    "parameters": {"labels": '["a", "b"]'},
    "outputs": [{"name": "scores", "data": [0.5, 0.5]}],
}


@pytest.mark.parametrize(
    "body",
    [
        None, [], "text", 7, {},
        GOOD | {"model_version": None},
        GOOD | {"model_version": "with:colon"},
        GOOD | {"model_version": "line\r\nbreak"},
        GOOD | {"model_version": "v" * 65},
        GOOD | {"parameters": {}},
        GOOD | {"parameters": {"labels": "[]"}},
        GOOD | {"parameters": {"labels": "[1, 2]"}},
        GOOD | {"parameters": {"labels": '["a", "b"]', "truncated": "[5]"}},
        GOOD | {"outputs": []},
        GOOD | {"outputs": [{"name": "scores", "data": [0.5]}]},
        GOOD | {"outputs": [{"name": "scores", "data": None}]},
        GOOD | {"outputs": "scores"},
    ],
)  # fmt: skip
async def test_nonsense_is_called_so(client: Make, predictor: PredictorDouble, body: object) -> None:
    predictor.intercept = answers(200, body)  # type: ignore[assignment]
    with pytest.raises(PredictorNonsenseError):
        await (await client()).score(["a"], [])


async def test_one_retry_on_503_then_the_answer(client: Make, predictor: PredictorDouble) -> None:
    async def once(_: web.Request) -> web.Response | None:
        return web.Response(status=503) if len(predictor.calls) == 1 else None

    predictor.intercept = once
    assert (await (await client()).score(["a"], [])).version == "v1"
    assert len(predictor.calls) == 2


async def test_no_more_than_one_retry(client: Make, predictor: PredictorDouble) -> None:
    predictor.intercept = answers(503)  # type: ignore[assignment]
    with pytest.raises(PredictorUnavailableError):
        await (await client()).score(["a"], [])
    assert len(predictor.calls) == 2


async def test_errors_of_the_request_are_not_retried(client: Make, predictor: PredictorDouble) -> None:
    predictor.intercept = answers(500)  # type: ignore[assignment]
    with pytest.raises(PredictorFailedError):
        await (await client()).score(["a"], [])
    assert len(predictor.calls) == 1


async def test_refused_connection_is_unavailable(client: Make) -> None:
    with pytest.raises(PredictorUnavailableError) as caught:
        await (await client(base_url=f"http://127.0.0.1:{free_port()}")).score(["a"], [])
    assert caught.value.retry_after_s == 1


async def test_connection_closed_by_the_server_while_idle_is_retried(client: Make, predictor: PredictorDouble) -> None:
    one = await client()
    await one.score(["a"], [])
    await predictor.stop()
    await predictor.start()
    assert (await one.score(["b"], [])).version == "v1"


async def test_proxy_that_has_lost_its_pod_is_left_for_another(client: Make, predictor: PredictorDouble) -> None:
    one = await client()
    kept: set[object] = set()
    refused: list[object] = []

    async def in_front(request: web.Request) -> web.Response | None:
        if request.transport in kept:
            refused.append(request.transport)
            return web.Response(status=502)
        return None

    async def remember(request: web.Request) -> None:
        kept.add(request.transport)

    predictor.intercept = remember  # type: ignore[assignment]
    await one.score(["a"], [])
    # Whoever has the old connection meets the proxy of the pod that went; new ones lead elsewhere.
    predictor.intercept = in_front  # type: ignore[assignment]
    for text in ("b", "c", "d"):
        assert (await one.score([text], [])).version == "v1"
    assert len(refused) == 1


async def test_slow_predictor_is_a_timeout_within_the_deadline(client: Make, predictor: PredictorDouble) -> None:
    predictor.delay_s = 30
    one = await client(timeout_s=0.3)
    started = time.monotonic()
    with pytest.raises(PredictorTimeoutError):
        await one.score(["a"], [])
    assert time.monotonic() - started < 5  # bounded, not fast


async def test_answer_cut_short_is_not_served(client: Make, predictor: PredictorDouble) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"model_name":')
        assert request.transport is not None
        request.transport.close()
        return response

    predictor.intercept = cut
    with pytest.raises(PredictorUnavailableError):
        await (await client()).score(["a"], [])


async def test_every_error_of_the_http_library_is_mapped(client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = await client()
    known = [
        error
        for error in vars(aiohttp).values()
        if isinstance(error, type) and issubclass(error, aiohttp.ClientError) and error is not aiohttp.ClientError
    ]
    assert len(known) > 10
    for error in known:

        def broken(*_: object, error: type[BaseException] = error, **__: object) -> None:
            raise error.__new__(error)

        for session in (one._session, one._fresh):
            monkeypatch.setattr(session, "request", broken)
        with pytest.raises(ServiceError):
            await one.score(["a"], [])


async def test_cancelled_call_leaves_the_pool_usable(client: Make, predictor: PredictorDouble) -> None:
    one = await client(connections=1)
    predictor.delay_s = 10
    task = asyncio.create_task(one.score(["a"], []))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    predictor.delay_s = 0
    assert (await one.score(["b"], [])).version == "v1"


async def test_calls_beyond_the_limit_are_refused_at_once_and_not_queued(
    client: Make, predictor: PredictorDouble
) -> None:
    one = await client(connections=2)
    predictor.delay_s = 0.5
    busy = [asyncio.create_task(one.score([f"busy {n}"], [])) for n in range(2)]
    await asyncio.sleep(0.1)
    with pytest.raises(PredictorUnavailableError) as caught:
        await one.score(["one too many"], [])
    assert caught.value.retry_after_s == 1
    await asyncio.gather(*busy)
    assert (await one.score(["room again"], [])).version == "v1"
    assert "one too many" not in predictor.forwarded()


async def test_full_queue_that_says_when_to_come_back_is_not_asked_again(
    client: Make, predictor: PredictorDouble
) -> None:
    predictor.intercept = answers(503, **{"Retry-After": "3"})  # type: ignore[assignment]
    with pytest.raises(PredictorUnavailableError):
        await (await client()).score(["a"], [])
    assert len(predictor.calls) == 1


async def test_full_queue_of_knative_is_not_asked_again_and_says_when_to_come_back(
    client: Make, predictor: PredictorDouble
) -> None:
    async def full(_: web.Request) -> web.Response:
        return web.Response(status=503, text="pending request queue full\n")

    predictor.intercept = full
    with pytest.raises(PredictorUnavailableError) as caught:
        await (await client()).score(["a"], [])
    assert caught.value.retry_after_s == 1
    assert len(predictor.calls) == 1


async def test_retry_does_not_use_a_kept_connection(client: Make, predictor: PredictorDouble) -> None:
    one = await client()
    ports: list[object] = []

    async def closes_used_connections(request: web.Request) -> web.StreamResponse | None:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peername")
        if peer in ports:
            request.transport.close()
        ports.append(peer)
        return None

    predictor.intercept = closes_used_connections  # type: ignore[assignment]
    for n in range(6):
        assert (await one.score([f"text {n}"], [])).version == "v1"
    assert len(set(ports)) < len(ports)  # connections were kept, and did break
