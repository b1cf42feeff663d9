import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.batching.job import Answer, Timing
from predictor.errors import InvalidTensorError
from predictor.protocol.oip import InferCall, format_infer, pack_bytes, parse_infer, unpack_bytes
from predictor.protocol.requests import Limits

LIMITS = Limits(max_texts=4, max_text_chars=10, max_body_bytes=1000)
TENSOR: dict[str, Any] = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["a", "ü"]}


def parse(tensor: dict[str, Any], **more: Any) -> InferCall:
    return parse_infer(json.dumps({"inputs": [tensor], **more}).encode(), header_length=None, limits=LIMITS)


def parse_binary(tensor: dict[str, Any], raw: bytes, **more: Any) -> InferCall:
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return parse_infer(head + raw, header_length=b"%d" % len(head), limits=LIMITS)


def test_json_tensor_gives_its_texts_and_id() -> None:
    call = parse(TENSOR, id="42")
    assert call.texts == ["a", "ü"]
    assert call.request_id == "42"
    assert call.outputs == {"label": False, "scores": False}


def test_without_an_id_one_is_made() -> None:
    assert parse(TENSOR).request_id != parse(TENSOR).request_id


@pytest.mark.parametrize("data", [["a", "b"], [["a"], ["b"]]])
def test_column_shape_is_taken_flat_or_nested(data: list[Any]) -> None:
    assert parse(TENSOR | {"shape": [2, 1], "data": data}).texts == ["a", "b"]


def test_binary_tensor_gives_its_texts() -> None:
    raw = pack_bytes(["a", "ü"])
    tensor = {"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    call = parse_binary(tensor, raw, parameters={"binary_data_output": True})
    assert call.texts == ["a", "ü"]
    assert call.outputs == {"label": True, "scores": True}


def test_outputs_may_be_chosen_one_by_one() -> None:
    call = parse(TENSOR, outputs=[{"name": "scores", "parameters": {"binary_data": True}}])
    assert call.outputs == {"scores": True}


@pytest.mark.parametrize(
    "change",
    [
        {"name": "input"}, {"datatype": "FP32"}, {"datatype": None}, {"shape": [3]}, {"shape": [1, 2]}, {"shape": []},
        {"shape": [2, 1, 1]}, {"shape": [-2]}, {"shape": ["2"]}, {"shape": [2.0]}, {"shape": [True]}, {"shape": 2},
        {"shape": None}, {"data": "ab"}, {"data": None}, {"data": [["a"], ["b"]]}, {"data": [1, 2]},
        {"data": ["a", " "]},
        {"data": [], "shape": [0]}, {"data": ["a"] * 5, "shape": [5]}, {"data": ["a", "01234567890"]},
        {"parameters": {"binary_data_size": 3}}, {"shape": [10**30]},
    ],
)  # fmt: skip
def test_a_tensor_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidTensorError) as caught:
        parse(TENSOR | change)
    assert caught.value.status == 400
    assert "01234567890" not in json.dumps(caught.value.body())


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"{}", b'{"inputs": {}}', b'{"inputs": []}', b'{"inputs": [1]}',
        json.dumps({"inputs": [TENSOR, TENSOR]}).encode(),
        json.dumps({"inputs": [TENSOR], "outputs": [{"name": "logits"}]}).encode(),
        json.dumps({"inputs": [TENSOR], "outputs": ["label"]}).encode(),
        json.dumps({"inputs": [TENSOR], "outputs": 3}).encode(),
        json.dumps({"inputs": [TENSOR], "parameters": {"binary_data_output": "yes"}}).encode(),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidTensorError):
        parse_infer(body, header_length=None, limits=LIMITS)


@pytest.mark.parametrize(
    "raw",
    [b"\x01\0\0", b"\x05\0\0\0ab", struct.pack("<I", 2**32 - 1) + b"a", struct.pack("<I", 2) + b"\xff\xfe"],
)
def test_malformed_binary_data_is_refused(raw: bytes) -> None:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(raw)}}
    with pytest.raises(InvalidTensorError):
        parse_binary(tensor, raw)


@pytest.mark.parametrize("size", [0, 4, 6, -5, "5", True, None])
def test_a_binary_size_that_does_not_fit_is_refused(size: Any) -> None:
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    with pytest.raises(InvalidTensorError):
        parse_binary(tensor, pack_bytes(["a"]))


@pytest.mark.parametrize("length", [b"-1", b"x", b"999", b""])
def test_a_header_length_that_does_not_fit_is_refused(length: bytes) -> None:
    with pytest.raises(InvalidTensorError):
        parse_infer(json.dumps({"inputs": [TENSOR]}).encode(), header_length=length, limits=LIMITS)


@given(texts=st.lists(st.text(max_size=20), max_size=20))
def test_binary_elements_survive_a_round_trip(texts: list[str]) -> None:
    assert [element.decode() for element in unpack_bytes(pack_bytes(texts))] == texts


def answer() -> Answer:
    scores = np.array([[0.1, 0.9], [0.75, 0.25]], np.float32)
    timing = Timing(tokenise_s=0, queue_s=0, inference_s=0)
    return Answer(scores=scores, truncated=(1,), timing=timing)


def formatted(call: InferCall) -> tuple[bytes, int | None]:
    return format_infer(call, answer(), model_name="m", model_version="v", labels=("NO", "YES"))


def test_response_holds_labels_scores_version_and_truncation() -> None:
    body, json_bytes = formatted(parse(TENSOR, id="7"))
    assert json_bytes is None
    assert json.loads(body) == {
        "model_name": "m",
        "model_version": "v",
        "id": "7",
        "parameters": {"labels": '["NO","YES"]', "truncated": "[1]"},
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["YES", "NO"]},
            {"name": "scores", "datatype": "FP32", "shape": [2, 2], "data": [0.1, 0.9, 0.75, 0.25]},
        ],
    }


def test_binary_response_appends_its_tensors_in_order() -> None:
    body, json_bytes = formatted(parse(TENSOR, parameters={"binary_data_output": True}))
    assert json_bytes is not None
    sizes = [output["parameters"]["binary_data_size"] for output in json.loads(body[:json_bytes])["outputs"]]
    label = body[json_bytes : json_bytes + sizes[0]]
    scores = body[json_bytes + sizes[0] :]
    assert unpack_bytes(label) == [b"YES", b"NO"]
    np.testing.assert_array_equal(np.frombuffer(scores, "<f4").reshape(2, 2), answer().scores)


@given(score=st.floats(0, 1, width=32))
def test_scores_survive_json_bit_for_bit(score: float) -> None:
    scores = np.array([[score, 1 - score]], np.float32)
    call = InferCall(texts=["a"], request_id="1", outputs={"scores": False})
    said = Answer(scores=scores, truncated=(), timing=answer().timing)
    body, _ = format_infer(call, said, model_name="m", model_version="v", labels=("NO", "YES"))
    read = np.array(json.loads(body)["outputs"][0]["data"], np.float32)
    np.testing.assert_array_equal(read, scores[0])
