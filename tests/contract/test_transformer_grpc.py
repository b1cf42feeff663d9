"""The transformer's gRPC contract, with a client of the protocol's own stubs."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from support.predictor_double import PredictorDouble, prediction, scores
from support.transformer_process import transformer

from local.ports import free_port


@pytest.fixture
async def stub(predictor: PredictorDouble, tmp_path: Path) -> AsyncIterator[GRPCInferenceServiceStub]:
    port = free_port()
    async with (
        transformer(tmp_path, predictor_host=predictor.host, grpc_port=port),
        grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel,
    ):
        yield GRPCInferenceServiceStub(channel)


def request(*texts: bytes) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="text", datatype="BYTES", shape=[len(texts)], contents=pb.InferTensorContents(bytes_contents=texts)
    )
    return pb.ModelInferRequest(model_name="sentiment", id="7", inputs=[tensor])


async def refusal(call: grpc.aio.UnaryUnaryCall) -> grpc.StatusCode:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code()


async def test_grpc_answers_as_rest_does(stub: GRPCInferenceServiceStub, predictor: PredictorDouble) -> None:
    for _ in range(2):
        answer = await stub.ModelInfer(request("é".encode(), b"bad"))
        outputs = {output.name: output for output in answer.outputs}
        expected = [prediction(text, "v1")[0]["label"].encode() for text in ("é", "bad")]  # type: ignore[attr-defined]
        assert list(outputs["label"].contents.bytes_contents) == expected
        assert list(outputs["scores"].shape) == [2, 2]
        flat = [score for text in ("é", "bad") for score in scores(text, "v1")]
        assert list(outputs["scores"].contents.fp32_contents) == flat
        assert (answer.id, answer.model_name, answer.model_version) == ("7", "sentiment", "v1")
        assert json.loads(answer.parameters["labels"].string_param) == ["NEGATIVE", "POSITIVE"]
    assert predictor.forwarded() == ["é", "bad"]


async def test_grpc_raw_contents_are_answered_raw(stub: GRPCInferenceServiceStub) -> None:
    asked = request(b"raw")
    asked.inputs[0].ClearField("contents")
    asked.raw_input_contents.append(len(b"raw").to_bytes(4, "little") + b"raw")
    answer = await stub.ModelInfer(asked)
    by_name = dict(zip([output.name for output in answer.outputs], answer.raw_output_contents, strict=True))
    assert np.frombuffer(by_name["scores"], "<f4").tolist() == list(scores("raw", "v1"))


async def test_grpc_refusals_have_their_codes(stub: GRPCInferenceServiceStub, predictor: PredictorDouble) -> None:
    assert await refusal(stub.ModelInfer(request())) is grpc.StatusCode.INVALID_ARGUMENT
    assert await refusal(stub.ModelInfer(request(b"\xff"))) is grpc.StatusCode.INVALID_ARGUMENT
    assert await refusal(stub.ModelInfer(request(b"  "))) is grpc.StatusCode.INVALID_ARGUMENT
    unknown = pb.ModelInferRequest(model_name="other")
    assert await refusal(stub.ModelInfer(unknown)) is grpc.StatusCode.NOT_FOUND
    assert await refusal(stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="sentiment"))) in (
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNIMPLEMENTED,
    )
    await predictor.stop()
    assert await refusal(stub.ModelInfer(request(b"cold"))) is grpc.StatusCode.UNAVAILABLE


async def test_grpc_health_and_metadata(stub: GRPCInferenceServiceStub) -> None:
    assert (await stub.ServerReady(pb.ServerReadyRequest())).ready
    assert (await stub.ModelReady(pb.ModelReadyRequest(name="sentiment"))).ready
    metadata = await stub.ModelMetadata(pb.ModelMetadataRequest(name="sentiment"))
    assert [(tensor.name, tensor.datatype) for tensor in metadata.inputs] == [("text", "BYTES")]
