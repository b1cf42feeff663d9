"""The predictor as a process: every protocol over real connections, on the shipped model."""

import json
import struct
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as pb_grpc
from support.processes import Server, server

from local.ports import free_port

TEXTS = ["a lovely film", "a dreadful mess", "so so"]
INFER = "/v2/models/sentiment/infer"
PREDICT = "/v1/models/sentiment:predict"


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Predictor:
    """A running predictor and how to talk to it."""

    def __init__(self, running: Server, grpc_port: int) -> None:
        self.running = running
        self.grpc_port = grpc_port

    def call(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Reply:
        connection = HTTPConnection("127.0.0.1", self.running.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            got = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, got, response.read())
        finally:
            connection.close()

    def post(self, path: str, value: Any, **headers: str) -> Reply:
        return self.call("POST", path, json.dumps(value).encode(), headers)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    port, grpc_port = free_port(), free_port()
    command = ["-m", "predictor", "--model_name=sentiment", f"--http_port={port}", f"--grpc_port={grpc_port}"]
    log = tmp_path_factory.mktemp("predictor") / "log"
    with server(command, port=port, log=log, ready="/v2/health/ready", env={"PREDICTOR_DRAIN_S": "0"}) as running:
        yield Predictor(running, grpc_port)


@pytest.fixture(scope="module")
def stub(predictor: Predictor) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{predictor.grpc_port}") as channel:
        yield pb_grpc.GRPCInferenceServiceStub(channel)


def tensor(texts: list[str]) -> dict[str, Any]:
    return {"inputs": [{"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}]}


def test_v1_answers_all_labels_best_first(predictor: Predictor) -> None:
    reply = predictor.post(PREDICT, {"instances": TEXTS})
    assert reply.status == 200
    predictions = reply.json["predictions"]
    assert [best["label"] for best, _ in predictions][:2] == ["POSITIVE", "NEGATIVE"]
    for labels in predictions:
        scores = [label["score"] for label in labels]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) == pytest.approx(1, abs=1e-6)
        assert {label["label"] for label in labels} == {"NEGATIVE", "POSITIVE"}


def test_oip_answers_labels_and_scores_in_class_order(predictor: Predictor) -> None:
    reply = predictor.post(INFER, tensor(TEXTS) | {"id": "mine"})
    assert reply.status == 200
    said = reply.json
    assert (said["model_name"], said["id"]) == ("sentiment", "mine")
    labels = '["NEGATIVE","POSITIVE"]'
    assert said["parameters"] == {"labels": labels, "scores_are": "softmax", "truncated": "[]"}
    label, scores = said["outputs"]
    assert (label["name"], label["datatype"], label["shape"]) == ("label", "BYTES", [3])
    assert (scores["name"], scores["datatype"], scores["shape"]) == ("scores", "FP32", [3, 2])
    rows = np.array(scores["data"], np.float32).reshape(3, 2)
    assert label["data"] == [("NEGATIVE", "POSITIVE")[index] for index in rows.argmax(axis=1)]
    assert said["model_version"] == reply.headers["x-model-version"]


def test_all_protocols_give_the_same_numbers_and_version(predictor: Predictor, stub: Any) -> None:
    oip = predictor.post(INFER, tensor(TEXTS)).json
    rows = np.array(oip["outputs"][1]["data"], np.float32).reshape(3, 2)
    v1 = predictor.post(PREDICT, {"instances": TEXTS}).json["predictions"]
    for row, labels in zip(rows, v1, strict=True):
        by_name = {label["label"]: np.float32(label["score"]) for label in labels}
        assert (by_name["NEGATIVE"], by_name["POSITIVE"]) == (row[0], row[1])
    answer = stub.ModelInfer(grpc_request())
    np.testing.assert_array_equal(np.array(answer.outputs[1].contents.fp32_contents, np.float32).reshape(3, 2), rows)
    assert answer.model_version == oip["model_version"]
    assert [label.decode() for label in answer.outputs[0].contents.bytes_contents] == oip["outputs"][0]["data"]


def test_binary_tensors_in_and_out(predictor: Predictor) -> None:
    raw = b"".join(struct.pack("<I", len(text)) + text.encode() for text in TEXTS)
    described = {"name": "text", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [described], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head)), "Content-Type": "application/octet-stream"}
    reply = predictor.call("POST", INFER, head + raw, headers)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/octet-stream"
    end = int(reply.headers["inference-header-content-length"])
    outputs = json.loads(reply.body[:end])["outputs"]
    scores = np.frombuffer(reply.body[end + outputs[0]["parameters"]["binary_data_size"] :], "<f4").reshape(3, 2)
    expected = np.array(predictor.post(INFER, tensor(TEXTS)).json["outputs"][1]["data"], np.float32).reshape(3, 2)
    np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "application/json;charset=x"]
)
@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_the_body_is_json_whatever_the_content_type_says(predictor: Predictor, path: str, content_type: str) -> None:
    body = tensor(TEXTS) if path == INFER else {"instances": TEXTS}
    assert predictor.post(path, body, **{"Content-Type": content_type}).status == 200


def test_truncation_is_reported_per_text_and_counted(predictor: Predictor) -> None:
    texts = ["fine", "film " * 1000, "fine", "film " * 600]
    reply = predictor.post(INFER, tensor(texts))
    assert reply.headers["x-truncated"] == "2"
    assert json.loads(reply.json["parameters"]["truncated"]) == [1, 3]
    assert "x-truncated" not in predictor.post(INFER, tensor(["fine"])).headers


def test_the_largest_allowed_request_is_answered(predictor: Predictor) -> None:
    reply = predictor.post(PREDICT, {"instances": [f"film number {index}" for index in range(128)]})
    assert reply.status == 200
    assert len(reply.json["predictions"]) == 128


def test_request_id_and_timing_are_answered(predictor: Predictor) -> None:
    reply = predictor.post(PREDICT, {"instances": TEXTS}, **{"X-Request-Id": "abc"})
    assert reply.headers["x-request-id"] == "abc"
    assert [part.split(";")[0] for part in reply.headers["server-timing"].split(", ")] == [
        "tokenise",
        "queue",
        "inference",
    ]


def test_metadata_names_tensors_version_labels_and_precision(predictor: Predictor) -> None:
    said = predictor.call("GET", "/v2/models/sentiment").json
    version = predictor.post(PREDICT, {"instances": TEXTS}).headers["x-model-version"]
    assert (said["name"], said["versions"]) == ("sentiment", [version])
    assert said["platform"] in {"openvino-bf16", "openvino-f32"}
    assert said["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert said["outputs"][1] == {"name": "scores", "datatype": "FP32", "shape": [-1, 2]}
    assert json.loads(said["properties"]["labels"]) == ["NEGATIVE", "POSITIVE"]
    assert all(isinstance(value, str) for value in said["properties"].values())
    assert int(said["properties"]["threads"]) >= 1
    versioned = f"/v2/models/sentiment/versions/{version}"
    assert predictor.call("GET", versioned).json == said
    assert predictor.call("GET", versioned + "/ready").status == 200
    assert predictor.post(versioned + "/infer", tensor(TEXTS)).status == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", {"status": "alive"}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v1/models", {"models": ["sentiment"]}),
        ("/v1/models/sentiment", {"name": "sentiment", "ready": True}),
        ("/v2/models/sentiment/ready", {"name": "sentiment", "ready": True}),
    ],
)
def test_health_routes(predictor: Predictor, path: str, body: dict[str, Any]) -> None:
    reply = predictor.call("GET", path)
    assert (reply.status, reply.json) == (200, body)


def test_metrics_name_the_model_and_count_requests(predictor: Predictor) -> None:
    predictor.post(PREDICT, {"instances": TEXTS})
    page = predictor.call("GET", "/metrics").body.decode()
    version = predictor.call("GET", "/v2/models/sentiment").json["versions"][0]
    assert f'version="{version}"' in next(
        line for line in page.splitlines() if line.startswith("predictor_model_info{")
    )
    for name in (
        'predictor_requests_total{route="/v1/models/{model_name}:predict",status="200"}',
        "predictor_queue_tokens", "predictor_threads",
        "predictor_queue_seconds_count", "predictor_batch_texts_sum", "predictor_batch_tokens_sum",
        "predictor_inference_seconds_count", "predictor_tokenise_seconds_count", "predictor_texts_total",
    ):  # fmt: skip
        assert any(line.startswith(name) for line in page.splitlines()), name


def grpc_request(texts: list[str] | None = None, **more: Any) -> Any:
    chosen = TEXTS if texts is None else texts
    contents = {"bytes_contents": [text.encode() for text in chosen]}
    described = {"name": "text", "shape": [len(chosen)], "datatype": "BYTES", "contents": contents}
    return pb.ModelInferRequest(**{"model_name": "sentiment", "inputs": [described], **more})


def test_grpc_raw_tensors_in_and_out(stub: Any) -> None:
    raw = b"".join(struct.pack("<I", len(text)) + text.encode() for text in TEXTS)
    described = {"name": "text", "shape": [3], "datatype": "BYTES"}
    answer = stub.ModelInfer(
        pb.ModelInferRequest(model_name="sentiment", inputs=[described], raw_input_contents=[raw], id="7")
    )
    scores = np.frombuffer(answer.raw_output_contents[1], "<f4").reshape(3, 2)
    expected = np.array(stub.ModelInfer(grpc_request()).outputs[1].contents.fp32_contents, np.float32)
    np.testing.assert_array_equal(scores.reshape(-1), expected)
    assert answer.id == "7"
    assert answer.parameters["labels"].string_param == '["NEGATIVE","POSITIVE"]'


def test_grpc_metadata_and_health(predictor: Predictor, stub: Any) -> None:
    said = stub.ModelMetadata(pb.ModelMetadataRequest(name="sentiment"))
    over_rest = predictor.call("GET", "/v2/models/sentiment").json
    assert (list(said.versions), said.platform) == (over_rest["versions"], over_rest["platform"])
    assert [(output.name, list(output.shape)) for output in said.outputs] == [("label", [-1]), ("scores", [-1, 2])]
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    assert stub.ModelReady(pb.ModelReadyRequest(name="sentiment")).ready


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (grpc_request(model_name="other"), grpc.StatusCode.NOT_FOUND),
        (grpc_request(model_version="0000"), grpc.StatusCode.NOT_FOUND),
        (grpc_request([]), grpc.StatusCode.INVALID_ARGUMENT),
        (grpc_request([" "]), grpc.StatusCode.INVALID_ARGUMENT),
        (grpc_request(["a"] * 129), grpc.StatusCode.INVALID_ARGUMENT),
        (grpc_request(inputs=[]), grpc.StatusCode.INVALID_ARGUMENT),
        (grpc_request(inputs=[{"name": "text", "shape": [1], "datatype": "STRING"}]), grpc.StatusCode.INVALID_ARGUMENT),
        (grpc_request(inputs=[{"name": "text", "shape": [2], "datatype": "BYTES"}]), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_grpc_refusals_have_true_codes_and_repeat_no_text(stub: Any, request_: Any, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request_)
    assert caught.value.code() == code


def test_grpc_bytes_that_are_no_utf8_are_refused(stub: Any) -> None:
    described = {"name": "text", "shape": [1], "datatype": "BYTES", "contents": {"bytes_contents": [b"\xff\xfe"]}}
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(grpc_request(inputs=[described]))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "UTF-8" in caught.value.details()


def test_grpc_deadline_is_kept(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(grpc_request(["film " * 400] * 128), timeout=0.02)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_cancelled_grpc_call_is_counted_as_cancelled(predictor: Predictor, stub: Any) -> None:
    # Several: a fast processor may have answered one by then.
    calls = [stub.ModelInfer.future(grpc_request(["film " * 400] * 128)) for _ in range(8)]
    time.sleep(0.05)
    for call in calls:
        call.cancel()
    line = 'predictor_requests_total{route="/inference.GRPCInferenceService/ModelInfer",status="499"}'
    deadline = time.monotonic() + 10
    while line not in predictor.call("GET", "/metrics").body.decode():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("what", ["Load", "Unload"])
def test_grpc_refuses_to_load_or_unload(stub: Any, what: str) -> None:
    request = getattr(pb, f"RepositoryModel{what}Request")(model_name="sentiment")
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, f"RepositoryModel{what}")(request)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert stub.ModelInfer(grpc_request()).outputs


def test_a_stated_deadline_shortens_ours(predictor: Predictor) -> None:
    body = {"instances": ["film " * 400] * 128}
    reply = predictor.post(PREDICT, body, **{"X-Request-Timeout-Ms": "20"})
    assert (reply.status, reply.json["code"]) in {(504, "deadline_exceeded"), (503, "overloaded")}


def test_no_text_is_ever_logged(predictor: Predictor, stub: Any) -> None:
    secret = "xyzzy-secret"
    predictor.post(PREDICT, {"instances": [secret, ""]})
    predictor.post(PREDICT, {"instances": [secret]})
    predictor.call("POST", INFER, b'{"inputs": "' + secret.encode())
    with pytest.raises(grpc.RpcError):
        stub.ModelInfer(grpc_request([secret, ""]))
    said = predictor.running.output()
    assert secret not in said
    assert all(json.loads(line)["level"] == "info" for line in said.splitlines())


def test_the_start_says_what_is_served(predictor: Predictor) -> None:
    loaded = json.loads(predictor.running.output().splitlines()[0])
    version = predictor.call("GET", "/v2/models/sentiment").json["versions"][0]
    assert (loaded["message"], loaded["version"]) == ("loaded", version)
    assert Path(loaded["model_dir"]).name == "distilbert-tiny-sst2"
    assert loaded["arithmetic"].startswith("openvino-")
