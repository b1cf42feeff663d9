"""One table of calls, one verdict on both servers: the Open Inference Protocol over gRPC, health and reflection."""

import json
import struct
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from support.real_stack import LIMIT_BYTES, SERVERS, Running, both

MARKER = "xyzzymarker"
TEXTS = ("a lovely film", "a dreadful mess")
SERVICE = "inference.GRPCInferenceService"
Code = grpc.StatusCode


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    with both(tmp_path_factory.mktemp("both")) as servers:
        yield servers


@pytest.fixture(params=SERVERS)
def one(running: dict[str, Running], request: pytest.FixtureRequest) -> Running:
    return running[request.param]


@pytest.fixture
def channel(one: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as opened:
        yield opened


def tensor(*texts: str | bytes, raw: bool = False, **change: Any) -> dict[str, Any]:
    elements = [text.encode() if isinstance(text, str) else text for text in texts]
    described: dict[str, Any] = {"name": "text", "shape": [len(elements)], "datatype": "BYTES"}
    if not raw:
        described["contents"] = {"bytes_contents": elements}
    return described | change


def packed(*texts: str) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def request(*inputs: dict[str, Any], **more: Any) -> Any:
    return pb.ModelInferRequest(**{"model_name": "sentiment", "inputs": inputs or [tensor(*TEXTS)], **more})


def parameter(name: str, **value: Any) -> dict[str, Any]:
    return {name: pb.InferParameter(**value)}


MARKED = tensor(MARKER)
REFUSED: dict[str, tuple[Any, grpc.StatusCode]] = {
    "another model": (request(MARKED, model_name="other"), Code.NOT_FOUND),
    "no model": (request(MARKED, model_name=""), Code.NOT_FOUND),
    "another version": (request(MARKED, model_version="1"), Code.NOT_FOUND),
    "no input": (pb.ModelInferRequest(model_name="sentiment"), Code.INVALID_ARGUMENT),
    "two inputs": (request(MARKED, MARKED), Code.INVALID_ARGUMENT),
    "no texts": (request(tensor()), Code.INVALID_ARGUMENT),
    "a blank text": (request(tensor(MARKER, " ")), Code.INVALID_ARGUMENT),
    "too many texts": (request(tensor(*[MARKER] * 129)), Code.INVALID_ARGUMENT),
    "a text too long": (request(tensor(MARKER * 500)), Code.INVALID_ARGUMENT),
    "another name": (request(tensor("a", name=MARKER)), Code.INVALID_ARGUMENT),
    "another datatype": (request(tensor("a", datatype=MARKER)), Code.INVALID_ARGUMENT),
    "another shape": (request(tensor(MARKER, shape=[2])), Code.INVALID_ARGUMENT),
    "a negative shape": (request(tensor(MARKER, shape=[-1])), Code.INVALID_ARGUMENT),
    "a row": (request(tensor("a", MARKER, shape=[1, 2])), Code.INVALID_ARGUMENT),
    "not UTF-8": (request(tensor(MARKER.encode() + b"\xff")), Code.INVALID_ARGUMENT),
    "contents of numbers": (request(tensor("a", contents={"int_contents": [7]})), Code.INVALID_ARGUMENT),
    "raw and contents": (request(MARKED, raw_input_contents=[packed(MARKER)]), Code.INVALID_ARGUMENT),
    "raw twice": (request(tensor("a", raw=True), raw_input_contents=[packed("a")] * 2), Code.INVALID_ARGUMENT),
    "raw that is cut": (
        request(tensor("a", raw=True), raw_input_contents=[packed(MARKER)[:-1]]),
        Code.INVALID_ARGUMENT,
    ),
    "an unknown output": (request(MARKED, outputs=[{"name": MARKER}]), Code.INVALID_ARGUMENT),
    "a doubled output": (request(MARKED, outputs=[{"name": "label"}] * 2), Code.INVALID_ARGUMENT),
    "a flag of words": (
        request(MARKED, parameters=parameter("binary_data_output", string_param=MARKER)),
        Code.INVALID_ARGUMENT,
    ),
    "an output's flag of words": (
        request(MARKED, outputs=[{"name": "label", "parameters": parameter("binary_data", string_param=MARKER)}]),
        Code.INVALID_ARGUMENT,
    ),
    "a message too large": (request(tensor(MARKER + "a" * LIMIT_BYTES)), Code.RESOURCE_EXHAUSTED),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_alike(one: Running, channel: grpc.Channel, name: str) -> None:
    asked, code = REFUSED[name]
    with pytest.raises(grpc.RpcError) as caught:
        GRPCInferenceServiceStub(channel).ModelInfer(asked)
    assert caught.value.code() is code, caught.value.details()
    assert MARKER not in caught.value.details()


def test_both_say_it_in_the_same_words(running: dict[str, Running]) -> None:
    said: dict[str, list[str]] = {}
    for one in running.values():
        with grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as opened:
            for name, (asked, code) in REFUSED.items():
                with pytest.raises(grpc.RpcError) as caught:
                    GRPCInferenceServiceStub(opened).ModelInfer(asked)
                if code is not Code.RESOURCE_EXHAUSTED:  # gRPC's own words
                    said.setdefault(name, []).append(caught.value.details())
    assert all(first == second for first, second in said.values()), said


def test_a_message_that_is_none_is_the_clients_mistake(channel: grpc.Channel) -> None:
    call = channel.unary_unary(f"/{SERVICE}/ModelInfer")
    with pytest.raises(grpc.RpcError) as caught:
        call(MARKER.encode())
    assert caught.value.code() is Code.INVALID_ARGUMENT
    assert MARKER not in caught.value.details()


def test_the_largest_message_is_as_large_as_the_largest_body(one: Running, channel: grpc.Channel) -> None:
    stub = GRPCInferenceServiceStub(channel)
    texts = ["a" * 4_900] * 4
    asked = request(tensor(*texts))
    padding = LIMIT_BYTES - asked.ByteSize() - 4
    asked.id = "7" * padding
    assert asked.ByteSize() <= LIMIT_BYTES
    assert stub.ModelInfer(asked).outputs
    asked.id += "7" * 5
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(asked)
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED
    body = json.dumps({"instances": texts}).encode()
    assert one.ask("POST", "/v1/models/sentiment:predict", body.ljust(LIMIT_BYTES)).status == 200
    assert one.ask("POST", "/v1/models/sentiment:predict", body.ljust(LIMIT_BYTES + 1)).status == 413


@pytest.mark.parametrize("shape", [[2], [2, 1]])
def test_grpc_answers_as_rest_does(one: Running, channel: grpc.Channel, shape: list[int]) -> None:
    body = {"inputs": [{"name": "text", "shape": shape, "datatype": "BYTES", "data": TEXTS}], "id": "7"}
    over_rest = one.ask("POST", "/v2/models/sentiment/infer", json.dumps(body).encode()).json
    answer, call = GRPCInferenceServiceStub(channel).ModelInfer.with_call(
        request(tensor(*TEXTS, shape=shape), id="7"), metadata=[("x-request-id", "mine")]
    )
    label, scores = answer.outputs
    assert [text.decode() for text in label.contents.bytes_contents] == over_rest["outputs"][0]["data"]
    flat = np.array(over_rest["outputs"][1]["data"], np.float32)
    np.testing.assert_array_equal(np.array(scores.contents.fp32_contents, np.float32), flat)
    assert (list(label.shape), list(scores.shape)) == ([2], [2, 2])
    assert (answer.id, answer.model_name, answer.model_version) == ("7", "sentiment", over_rest["model_version"])
    assert {key: value.string_param for key, value in answer.parameters.items()} == over_rest["parameters"]
    trailing = dict(call.trailing_metadata())
    assert trailing["x-request-id"] == "mine"
    assert trailing["x-model-version"] == answer.model_version


def test_raw_texts_are_answered_raw(channel: grpc.Channel) -> None:
    stub = GRPCInferenceServiceStub(channel)
    expected = stub.ModelInfer(request()).outputs[1].contents.fp32_contents
    answer = stub.ModelInfer(request(tensor(*TEXTS, raw=True), raw_input_contents=[packed(*TEXTS)]))
    assert answer.id
    by_name = dict(zip([output.name for output in answer.outputs], answer.raw_output_contents, strict=True))
    assert np.frombuffer(by_name["scores"], "<f4").tolist() == list(expected)


@pytest.mark.parametrize("names", [["scores"], ["label"], ["scores", "label"]])
def test_outputs_are_those_asked_for(channel: grpc.Channel, names: list[str]) -> None:
    answer = GRPCInferenceServiceStub(channel).ModelInfer(request(outputs=[{"name": name} for name in names]))
    assert [output.name for output in answer.outputs] == names


def test_an_announced_version_is_served_and_another_is_not(channel: grpc.Channel) -> None:
    stub = GRPCInferenceServiceStub(channel)
    version = stub.ModelInfer(request()).model_version
    assert stub.ModelInfer(request(model_version=version)).model_version == version
    metadata = stub.ModelMetadata(pb.ModelMetadataRequest(name="sentiment", version=version))
    assert list(metadata.versions) == [version]
    assert [(each.name, each.datatype, list(each.shape)) for each in (*metadata.inputs, *metadata.outputs)] == [
        ("text", "BYTES", [-1]), ("label", "BYTES", [-1]), ("scores", "FP32", [-1, 2]),
    ]  # fmt: skip
    assert stub.ModelReady(pb.ModelReadyRequest(name="sentiment", version=version)).ready
    for call in (
        lambda: stub.ModelReady(pb.ModelReadyRequest(name="sentiment", version="9")),
        lambda: stub.ModelReady(pb.ModelReadyRequest(name="other")),
        lambda: stub.ModelMetadata(pb.ModelMetadataRequest(name="sentiment", version="9")),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() is Code.NOT_FOUND


def test_servers_say_that_they_live_and_who_they_are(channel: grpc.Channel) -> None:
    stub = GRPCInferenceServiceStub(channel)
    assert stub.ServerLive(pb.ServerLiveRequest()).live
    assert stub.ServerReady(pb.ServerReadyRequest()).ready
    assert stub.ServerMetadata(pb.ServerMetadataRequest()).name


@pytest.mark.parametrize("what", ["Load", "Unload"])
def test_models_are_not_loaded_on_request(channel: grpc.Channel, what: str) -> None:
    stub = GRPCInferenceServiceStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        getattr(stub, f"RepositoryModel{what}")(getattr(pb, f"RepositoryModel{what}Request")(model_name="sentiment"))
    assert caught.value.code() is Code.UNIMPLEMENTED
    assert stub.ModelInfer(request()).outputs


@pytest.mark.parametrize("service", ["", SERVICE])
def test_kubernetes_probes_are_answered(channel: grpc.Channel, service: str) -> None:
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_an_unknown_service_is_not_known(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service="other"))
    assert caught.value.code() is Code.NOT_FOUND


def test_reflection_names_the_services_and_their_files(channel: grpc.Channel) -> None:
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, file = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(asked))
    names = {service.name for service in listed.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} == names
    assert b"ModelInfer" in file.file_descriptor_response.file_descriptor_proto[0]


def test_calls_are_counted_with_the_status_that_rest_would_give(running: dict[str, Running]) -> None:
    for name, one in running.items():
        with grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as opened:
            stub = GRPCInferenceServiceStub(opened)
            stub.ModelInfer(request())
            for asked, _ in (REFUSED["another model"], REFUSED["no texts"]):
                with pytest.raises(grpc.RpcError):
                    stub.ModelInfer(asked)
        page = one.ask("GET", "/metrics").body.decode()
        for status in ("200", "400", "404"):
            line = f'{name}_requests_total{{route="/{SERVICE}/ModelInfer",status="{status}"}}'
            assert line in page, status


def test_no_log_holds_a_clients_mistake(running: dict[str, Running]) -> None:
    for one in running.values():
        with grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as opened:
            infer, nowhere = opened.unary_unary(f"/{SERVICE}/ModelInfer"), opened.unary_unary(f"/{MARKER}/{MARKER}")
            asked = [(infer, request.SerializeToString()) for request, _ in REFUSED.values()]
            for call, sent in (*asked, (infer, MARKER.encode()), (nowhere, MARKER.encode())):
                with pytest.raises(grpc.RpcError):
                    call(sent)
        said = one.process.output()
        assert MARKER not in said
        assert {json.loads(line)["level"] for line in said.splitlines()} <= {"info"}, said[-2_000:]
