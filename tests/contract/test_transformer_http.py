"""The transformer's HTTP contract, held against the real process with a predictor that does as it is told."""

import asyncio
import contextlib
import http.client
import json
import re
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web
from support.predictor_double import PredictorDouble, prediction, scores
from support.processes import Server
from support.transformer_process import Answer, Client, transformer

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODULE = {"scope": "module", "loop_scope": "module"}


@pytest_asyncio.fixture(**MODULE)
async def predictor() -> AsyncIterator[PredictorDouble]:
    double = PredictorDouble(versions=("abc123",))
    await double.start()
    yield double
    await double.stop()


@pytest_asyncio.fixture(**MODULE)
async def process(predictor: PredictorDouble, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder: Path = tmp_path_factory.mktemp("transformer")
    async with transformer(folder, predictor_host=predictor.host) as running:
        yield running


@pytest_asyncio.fixture(**MODULE)
async def client(process: Server) -> AsyncIterator[Client]:
    one = Client(process.url)
    yield one
    await one.session.close()


def f32(predictions: list[list[dict[str, object]]]) -> list[list[dict[str, object]]]:
    """Round written scores to float32, which is what they are."""
    return [
        [pair | {"score": struct.unpack("<f", struct.pack("<f", pair["score"]))[0]} for pair in each]
        for each in predictions
    ]


def assert_error(answer: Answer, status: int, code: str) -> None:
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/json"
    said = answer.json()
    assert set(said) <= {"error", "code", "detail"}
    assert said["code"] == code
    assert said["error"].endswith(".")


async def test_answer_has_all_labels_best_first_in_request_order(client: Client) -> None:
    answer = await client.predict("good", "bad", "so so")
    assert answer.status == 200
    assert f32(answer.json()["predictions"]) == [prediction(text, "abc123") for text in ("good", "bad", "so so")]


async def test_hit_and_miss_give_the_same_bytes(client: Client) -> None:
    miss, hit = await client.predict("one", "two"), await client.predict("one", "two")
    assert (miss.headers["x-cache"], hit.headers["x-cache"]) == ("miss", "hit")
    assert miss.body == hit.body


async def test_ten_texts_of_which_nine_are_cached_cost_one_forward(client: Client, predictor: PredictorDouble) -> None:
    texts = [f"nine {n}" for n in range(10)]
    await client.predict(*texts[:9])
    before = len(predictor.calls)
    answer = await client.predict(*texts)
    assert answer.headers["x-cache"] == "partial"
    assert predictor.calls[before:] == [["nine 9"]]


@pytest.mark.parametrize("path", ["/predict", "/", "/v1/models/sentiment:predict"])
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
async def test_same_body_on_every_route_whatever_the_content_type(client: Client, path: str, content_type: str) -> None:
    answer = await client.post(path, b'{"text": ["same"]}', **{"Content-Type": content_type})
    assert answer.status == 200
    assert f32(answer.json()["predictions"]) == [prediction("same", "abc123")]


async def test_v1_takes_instances(client: Client) -> None:
    answer = await client.post("/v1/models/sentiment:predict", b'{"instances": ["inst"]}')
    assert f32(answer.json()["predictions"]) == [prediction("inst", "abc123")]


async def test_headers_of_an_answer(client: Client, predictor: PredictorDouble) -> None:
    predictor.truncates = {"cut"}
    answer = await client.predict("cut", "whole", **{"x-request-id": "my id 7"})
    assert answer.headers["x-model-version"] == "abc123"
    assert answer.headers["x-request-id"] == "my id 7"
    assert answer.headers["x-truncated"] == "1"
    assert re.fullmatch(r"lookup;dur=[\d.]+, predict;dur=[\d.]+, total;dur=[\d.]+", answer.headers["server-timing"])
    again = await client.predict("cut")
    assert (again.headers["x-cache"], again.headers["x-truncated"]) == ("hit", "1")
    assert "x-truncated" not in (await client.predict("whole")).headers


@pytest.mark.parametrize("sent", [{}, {"x-request-id": "x" * 129}, {"x-request-id": "tab\there"}])
async def test_request_id_is_made_where_none_can_be_echoed(client: Client, sent: dict[str, str]) -> None:
    one, other = await client.predict("id", **sent), await client.predict("id", **sent)
    ids = {one.headers["x-request-id"], other.headers["x-request-id"]}
    assert len(ids) == 2
    assert all(re.fullmatch(r"[0-9a-f]{12}-[0-9a-f]+", each) for each in ids)


async def test_made_request_id_reaches_the_predictor(client: Client, predictor: PredictorDouble) -> None:
    answer = await client.predict("id goes along")
    assert predictor.headers[-1]["x-request-id"] == answer.headers["x-request-id"]


BAD_BODIES = {
    "not JSON": (b"{", 422, "json_invalid"),
    "empty body": (b"", 422, "json_invalid"),
    "no key": (b"{}", 422, "missing"),
    "extra key": (b'{"text": ["a"], "more": 1}', 422, "extra_forbidden"),
    "not an object": (b'["a"]', 422, "dict_type"),
    "not a list": (b'{"text": "a"}', 422, "list_type"),
    "empty list": (b'{"text": []}', 422, "too_short"),
    "number in list": (b'{"text": ["a", 1]}', 422, "string_type"),
    "null in list": (b'{"text": [null]}', 422, "string_type"),
    "empty text": (b'{"text": [""]}', 422, "string_too_short"),
    "blank text": (b'{"text": ["  "]}', 422, "string_pattern_mismatch"),
    "10 001 characters": (b'{"text": ["' + b"a" * 10_001 + b'"]}', 422, "string_too_long"),
    "129 texts": (json.dumps({"text": ["a"] * 129}).encode(), 422, "too_long"),
    "not UTF-8": (b'{"text": ["\xff"]}', 422, "json_invalid"),
    "lone surrogate": (b'{"text": ["\\ud800"]}', 422, "json_invalid"),
}


@pytest.mark.parametrize("path", ["/predict", "/", "/v1/models/sentiment:predict"])
@pytest.mark.parametrize("name", BAD_BODIES)
async def test_bad_body_is_refused(client: Client, predictor: PredictorDouble, path: str, name: str) -> None:
    body, status, kind = BAD_BODIES[name]
    calls = len(predictor.calls)
    answer = await client.post(path, body)
    assert_error(answer, status, "invalid_request")
    assert kind in [finding["type"] for finding in answer.json()["detail"]]
    assert all(set(finding) == {"loc", "msg", "type"} for finding in answer.json()["detail"])
    assert len(predictor.calls) == calls


@pytest.mark.parametrize("path", ["/predict", "/v2/models/sentiment/infer", "/nowhere"])
async def test_body_over_the_limit_is_too_large(client: Client, path: str) -> None:
    assert_error(await client.post(path, b"x" * (2 << 20)), 413, "payload_too_large")


async def test_body_over_the_limit_without_a_length_is_too_large(process: Server) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)) as connection:
        connection.request("POST", "/predict", body=(b"x" * 65_536 for _ in range(20)), encode_chunked=True)
        with contextlib.closing(connection.getresponse()) as answer:
            assert answer.status == 413


async def test_body_in_many_chunks_is_read_whole(process: Server) -> None:
    body = json.dumps({"text": ["chunk " * 100 + str(n) for n in range(100)]}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=10)
    parts = (body[i : i + 999] for i in range(0, len(body), 999))

    def exchange() -> http.client.HTTPResponse:
        connection.request("POST", "/predict", body=parts, encode_chunked=True)
        return connection.getresponse()

    answer = await asyncio.to_thread(exchange)
    assert answer.status == 200
    assert len(json.loads(answer.read())["predictions"]) == 100
    connection.close()


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/nowhere", 404, "not_found"),
        ("GET", "/predict", 405, "method_not_allowed"),
        ("PUT", "/predict", 405, "method_not_allowed"),
        ("DELETE", "/", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
        ("GET", "/v1/models/sentiment:predict", 405, "method_not_allowed"),
        ("POST", "/v1/models/other:predict", 404, "model_not_found"),
        ("GET", "/v1/models/other", 404, "model_not_found"),
        ("GET", "/v2/models/other", 404, "model_not_found"),
        ("POST", "/v1/models/sentiment:explain", 501, "not_implemented"),
        ("POST", "/v2/repository/models/sentiment/load", 404, "not_found"),
        ("POST", "/v2/repository/models/sentiment/unload", 404, "not_found"),
    ],
)
async def test_what_is_not_served_is_refused_with_the_one_body(
    client: Client, method: str, path: str, status: int, code: str
) -> None:
    assert_error(await client.get(path, method), status, code)
    assert (await client.get("/v1/models/sentiment")).status == 200  # nothing was unloaded


async def test_health_and_metadata_routes(client: Client) -> None:
    health = await client.get("/health")
    assert health.status == 200
    assert health.json() == {
        "status": "healthy", "model": "sentiment", "model_version": "abc123", "scores_are": "softmax",
        "degraded": False,
    }  # fmt: skip
    for path, said in {
        "/": {"status": "alive"},
        "/v1/models": {"models": ["sentiment"]},
        "/v1/models/sentiment": {"name": "sentiment", "ready": True},
        "/v2/health/live": {"live": True},
        "/v2/health/ready": {"ready": True},
        "/v2/models/sentiment/ready": {"name": "sentiment", "ready": True},
    }.items():
        assert (await client.get(path)).json() == said, path
    metadata = (await client.get("/v2/models/sentiment")).json()
    assert metadata["versions"] == ["abc123"]
    assert metadata["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert metadata["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "scores", "datatype": "FP32", "shape": [-1, 2]},
    ]


def tensor(*texts: object, **changes: object) -> bytes:
    one = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts)} | changes
    return json.dumps({"id": "42", "inputs": [one]}).encode()


JSON = {"Content-Type": "application/json"}


async def test_open_inference_protocol_goes_through_the_same_cache(client: Client, predictor: PredictorDouble) -> None:
    await client.predict("shared")
    calls = len(predictor.calls)
    answer = await client.post("/v2/models/sentiment/infer", tensor("shared"), **JSON)
    assert answer.status == 200, answer
    said = answer.json()
    assert (said["id"], said["model_name"], said["model_version"]) == ("42", "sentiment", "abc123")
    outputs = {output["name"]: output for output in said["outputs"]}
    assert outputs["label"]["data"] == [prediction("shared", "abc123")[0]["label"]]
    assert outputs["scores"]["shape"] == [1, 2]
    assert outputs["scores"]["data"] == pytest.approx(scores("shared", "abc123"))
    assert json.loads(said["parameters"]["labels"]) == ["NEGATIVE", "POSITIVE"]
    assert (answer.headers["x-cache"], answer.headers["x-model-version"]) == ("hit", "abc123")
    assert len(predictor.calls) == calls


async def test_inference_request_without_an_id_gets_one(client: Client) -> None:
    request = json.loads(tensor("no id"))
    del request["id"]
    answer = await client.post("/v2/models/sentiment/infer", json.dumps(request).encode(), **JSON)
    assert answer.status == 200, answer
    assert answer.json()["id"]


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"{}", b'{"inputs": []}', b"\xff",
        tensor("a", name="other"), tensor("a", datatype="FP32"), tensor("a", shape=[2]), tensor("a", shape=[1, 2]),
        tensor(), tensor(1), tensor(None), tensor(""), tensor("  "), tensor("a" * 10_001), tensor(*["a"] * 129),
        b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}',
    ],
)  # fmt: skip
async def test_bad_inference_request_is_400_with_the_one_body(client: Client, body: bytes) -> None:
    assert_error(await client.post("/v2/models/sentiment/infer", body, **JSON), 400, "invalid_request")


async def test_malformed_binary_tensor_is_400(client: Client) -> None:
    for length, body in (("5", b"abc"), ("x", b"{}"), ("2", b"{}"), ("-1", b"{}"), ("2", b"[]")):
        answer = await client.post(
            "/v2/models/sentiment/infer", body,
            **{"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": length},
        )  # fmt: skip
        assert_error(answer, 400, "invalid_request")


async def test_errors_never_echo_the_input(client: Client) -> None:
    for path in ("/predict", "/v1/models/sentiment:predict", "/v2/models/sentiment/infer"):
        for body in (
            b'{"SECRET": 1}',
            b'{"text": ["a"], "SECRET": 1}',
            b'{"inputs": [{"SECRET": "SECRET"}]}',
            b"SECRET",
        ):
            answer = await client.post(path, body, **JSON)
            assert answer.status in (400, 422)
            assert b"SECRET" not in answer.body


async def test_metrics_count_texts_and_requests(client: Client) -> None:
    async def texts(outcome: str) -> float:
        return await client.metric(f'transformer_texts_total{{outcome="{outcome}"}}')

    before = {outcome: await texts(outcome) for outcome in ("hit_l1", "miss", "duplicate")}
    await client.predict("count me", "count me")
    await client.predict("count me")
    after = {outcome: await texts(outcome) for outcome in before}
    assert {o: after[o] - before[o] for o in before} == {"hit_l1": 1, "miss": 1, "duplicate": 1}
    assert await client.metric('transformer_requests_total{route="/predict",status="200"}') > 0
    assert await client.metric('transformer_request_seconds_count{outcome="hit"}') > 0
    assert await client.metric('transformer_model_info{version="abc123"}') == 1


async def test_openapi_tells_what_is_served(client: Client) -> None:
    document = (await client.get("/openapi.json")).json()
    for path in ("/predict", "/", "/v1/models/sentiment:predict", "/v2/models/{model_name}/infer", "/health"):
        assert path in document["paths"]
    assert not [path for path in document["paths"] if "repository" in path or "explain" in path]
    assert document["components"]["schemas"]["PredictRequest"]["properties"]["text"]["maxItems"] == 128
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references <= set(document["components"]["schemas"])


async def test_nothing_of_a_text_reaches_the_log(client: Client, process: Server) -> None:
    await client.predict("UNLOGGED")
    await client.post("/predict", b'{"text": ["UNLOGGED", 1]}')
    assert "UNLOGGED" not in process.output()


async def test_failures_of_the_predictor_reach_the_client_as_they_are(
    client: Client, predictor: PredictorDouble
) -> None:
    for status, expected, code in (
        (503, 503, "predictor_unavailable"), (429, 503, "predictor_unavailable"), (504, 504, "predictor_timeout"),
        (500, 500, "predictor_failed"), (418, 418, "predictor_refused"), (301, 502, "bad_predictor_answer"),
    ):  # fmt: skip

        async def intercept(_: web.Request, status: int = status) -> web.Response:
            return web.Response(status=status, text="http://inside:8081")

        predictor.intercept = intercept
        for path, body in (
            ("/predict", b'{"text": ["fail %d"]}' % status),
            ("/v2/models/sentiment/infer", tensor("f")),
        ):
            answer = await client.post(path, body, **JSON)
            assert_error(answer, expected, code)
            assert b"inside" not in answer.body
            assert ("retry-after" in answer.headers) == (expected in (503, 504))
    predictor.intercept = None
