"""The Open Inference Protocol's tensors: JSON and binary requests to texts, answers to JSON and binary responses.

One input, ``text`` BYTES [N] or [N, 1]; two outputs, ``label`` BYTES [N] and ``scores`` FP32 [N, labels].
"""

import math
import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from predictor.batching.job import Answer
from predictor.errors import InvalidTensorError
from predictor.protocol.requests import Limits, check_texts, parse_json

INPUT = "text"
OUTPUTS = ("label", "scores")
HEADER_LENGTH = b"inference-header-content-length"


@dataclass(frozen=True, kw_only=True)
class InferCall:
    """A REST infer request: its texts, its id, and the outputs wanted, each with whether in binary."""

    texts: list[str]
    request_id: str
    outputs: Mapping[str, bool]


def parse_infer(body: bytes, *, header_length: bytes | None, limits: Limits) -> InferCall:
    """Read an infer request, with tensors in JSON or behind it in binary.

    Args:
        body: JSON, then the binary tensors if any.
        header_length: the value of ``inference-header-content-length``: where the JSON ends.
        limits: sizes to keep.

    Raises:
        InvalidTensorError: not JSON, not one BYTES tensor ``text``, shape and data disagree, or beyond the limits.
    """
    json_bytes, binary = _split(body, header_length)
    value = parse_json(json_bytes, error=InvalidTensorError)
    inputs = value.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise InvalidTensorError(f"inputs must hold one tensor, {INPUT}")
    tensor = inputs[0]
    count = check_tensor(tensor.get("name"), tensor.get("datatype"), tensor.get("shape"))
    elements = _elements(tensor, binary, count)
    texts = to_texts(elements, count=count, limits=limits)
    request_id = value.get("id")
    return InferCall(
        texts=texts,
        request_id=request_id if isinstance(request_id, str) and request_id else str(uuid.uuid4()),
        outputs=_wanted(value),
    )


def to_texts(elements: Sequence[Any], *, count: int, limits: Limits) -> list[str]:
    """Give the texts of a tensor's elements, str or UTF-8 bytes, ``count`` of them by its shape.

    Raises:
        InvalidTensorError: another number of elements, bytes that are no UTF-8, or beyond the limits.
    """
    if len(elements) != count:
        raise InvalidTensorError(f"{INPUT} has a shape of {count} elements and data of {len(elements)}")
    try:
        decoded = [element.decode() if isinstance(element, bytes) else element for element in elements]
    except UnicodeDecodeError:
        raise InvalidTensorError(f"{INPUT} holds bytes that are not UTF-8") from None
    return check_texts(decoded, limits=limits, field=INPUT, error=InvalidTensorError)


def check_tensor(name: object, datatype: object, shape: object) -> int:
    """Give the number of elements of an input tensor that is described as it should be.

    Raises:
        InvalidTensorError: another name, datatype or rank.
    """
    if name != INPUT:
        raise InvalidTensorError(f"the input tensor must be named {INPUT}")
    if datatype != "BYTES":
        raise InvalidTensorError(f"{INPUT} must have datatype BYTES")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise InvalidTensorError(f"{INPUT} must have a shape of whole numbers")
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise InvalidTensorError(f"{INPUT} must have shape [N] or [N, 1]")
    return math.prod(shape)


def unpack_bytes(raw: bytes) -> list[bytes]:
    """Read a binary BYTES tensor: per element four bytes of length, little-endian, and the element.

    Raises:
        InvalidTensorError: the lengths do not add up to the data.
    """
    elements = []
    offset = 0
    while offset < len(raw):
        end = offset + 4
        if end > len(raw):
            raise InvalidTensorError(f"{INPUT} ends within a length")
        (length,) = struct.unpack_from("<I", raw, offset)
        if end + length > len(raw):
            raise InvalidTensorError(f"{INPUT} ends within an element")
        elements.append(raw[end : end + length])
        offset = end + length
    return elements


def pack_bytes(elements: Iterable[str]) -> bytes:
    """Write a binary BYTES tensor."""
    encoded = [element.encode() for element in elements]
    return b"".join(struct.pack("<I", len(element)) + element for element in encoded)


def best_labels(answer: Answer, labels: Sequence[str]) -> list[str]:
    """Give each text's label of the highest score, the first of equals."""
    return [labels[index] for index in answer.scores.argmax(axis=1)]


def response_parameters(answer: Answer, labels: Sequence[str]) -> dict[str, str]:
    """Give what the answer says beside its tensors: labels in class order and which texts were cut, as JSON."""
    return {
        "labels": orjson.dumps(list(labels)).decode(),
        "truncated": orjson.dumps(list(answer.truncated)).decode(),
    }


def format_infer(
    call: InferCall, answer: Answer, *, model_name: str, model_version: str, labels: Sequence[str]
) -> tuple[bytes, int | None]:
    """Write the infer response.

    Returns:
        The body, and where its JSON ends when binary tensors follow it.
    """
    scores = answer.scores
    best = best_labels(answer, labels)
    tensors: dict[str, tuple[str, list[int], Any]] = {
        "label": ("BYTES", [len(best)], best),
        "scores": ("FP32", list(scores.shape), scores.reshape(-1)),
    }
    outputs: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, in_binary in call.outputs.items():
        datatype, shape, data = tensors[name]
        output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if in_binary:
            raw = pack_bytes(best) if name == "label" else np.ascontiguousarray(scores, dtype="<f4").tobytes()
            output["parameters"] = {"binary_data_size": len(raw)}
            binary.append(raw)
        else:
            output["data"] = data
        outputs.append(output)
    body = {
        "model_name": model_name,
        "model_version": model_version,
        "id": call.request_id,
        "parameters": response_parameters(answer, labels),
        "outputs": outputs,
    }
    head = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join((head, *binary)), len(head) if binary else None


def _split(body: bytes, header_length: bytes | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    if not header_length.isdigit() or int(header_length) > len(body):
        raise InvalidTensorError("inference-header-content-length does not fit the body")
    end = int(header_length)
    return body[:end], body[end:]


def _elements(tensor: Mapping[str, Any], binary: bytes, count: int) -> list[Any]:
    parameters = tensor.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    data = tensor.get("data")
    if size is not None:
        if data is not None or type(size) is not int or size != len(binary):
            raise InvalidTensorError(f"{INPUT} has a binary_data_size that does not fit the body")
        return list(unpack_bytes(binary))
    if not isinstance(data, list):
        raise InvalidTensorError(f"{INPUT} must have a list as data")
    nested = data and all(isinstance(row, list) and len(row) == 1 for row in data)
    if nested and tensor.get("shape") == [count, 1]:
        return [row[0] for row in data]
    return data


def _wanted(value: Mapping[str, Any]) -> dict[str, bool]:
    """Give the outputs asked for, all when none is named, and whether each goes out in binary."""
    by_default = _flag(value.get("parameters"), "binary_data_output", default=False)
    asked = value.get("outputs")
    if not asked:
        return dict.fromkeys(OUTPUTS, by_default)
    if not isinstance(asked, list) or not all(isinstance(output, dict) for output in asked):
        raise InvalidTensorError("outputs must be a list of tensors")
    unknown = [output for output in asked if output.get("name") not in OUTPUTS]
    if unknown:
        raise InvalidTensorError(f"outputs may name {' and '.join(OUTPUTS)}")
    return {o["name"]: _flag(o.get("parameters"), "binary_data", default=by_default) for o in asked}


def _flag(parameters: object, name: str, *, default: bool) -> bool:
    value = parameters.get(name, default) if isinstance(parameters, dict) else default
    if not isinstance(value, bool):
        raise InvalidTensorError(f"{name} must be true or false")
    return value
