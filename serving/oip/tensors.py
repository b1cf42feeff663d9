"""The tensors that go in and out, in the protocol's words."""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from serving.errors import InvalidRequestError
from serving.scores import ScoresAre

INPUT = "text"
OUTPUTS = ("label", "scores")


class InferCall(NamedTuple):
    """An inference request: its texts, its id, and the outputs wanted, each with whether in binary."""

    texts: list[str]
    request_id: str
    outputs: dict[str, bool]


class Tensors(NamedTuple):
    """An answer: scores float32 [texts, labels] of one model version, what they are, and the indices of texts cut."""

    model_version: str
    labels: Sequence[str]
    scores: NDArray[np.float32]
    truncated: Sequence[int]
    scores_are: ScoresAre = "softmax"

    def best_labels(self) -> list[str]:
        """Give each text's label of the highest score, the first of equals."""
        return [self.labels[index] for index in self.scores.argmax(axis=1)]

    def parameters(self) -> dict[str, str]:
        """Give the parameters beside the tensors: labels in class order, the kind of scores, which texts were cut."""
        return {
            "labels": orjson.dumps(list(self.labels)).decode(),
            "scores_are": self.scores_are,
            "truncated": orjson.dumps(list(self.truncated)).decode(),
        }


def described_input() -> list[dict[str, Any]]:
    """Give the input tensor as metadata has it; -1 is any size."""
    return [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}]


def described_outputs(labels: int) -> list[dict[str, Any]]:
    """Give the output tensors as metadata has them."""
    return [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "scores", "datatype": "FP32", "shape": [-1, labels]},
    ]


def refused(sentence: str) -> InvalidRequestError:
    """Give the error that this protocol asks for: 400 rather than 422."""
    return InvalidRequestError(sentence, status=400)


def check_tensor(name: object, datatype: object, shape: object) -> int:
    """Check an input tensor's description; give its number of elements.

    Raises:
        InvalidRequestError: the name, datatype or shape is wrong.
    """
    if name != INPUT:
        raise refused(f"The input tensor needs to be named {INPUT}.")
    if datatype != "BYTES":
        raise refused(f"The input {INPUT} needs the datatype BYTES.")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise refused(f"The shape of {INPUT} needs to be a list of whole numbers.")
    if len(shape) not in (1, 2) or shape[1:] not in ([], [1]):
        raise refused(f"The shape of {INPUT} needs to be [N] or [N, 1].")
    return math.prod(shape)


def decode_elements(elements: Sequence[Any], *, count: int) -> list[Any]:
    """Give a tensor's elements, UTF-8 bytes as strings, anything else as it is.

    Raises:
        InvalidRequestError: not ``count`` elements, or bytes that are not UTF-8.
    """
    if len(elements) != count:
        raise refused(f"The shape of {INPUT} says {count} elements, its data has {len(elements)}.")
    try:
        return [element.decode() if isinstance(element, bytes) else element for element in elements]
    except UnicodeDecodeError:
        raise refused(f"The elements of {INPUT} need to be UTF-8.") from None


def wanted_outputs(asked: Sequence[tuple[object, bool]], *, by_default: bool) -> dict[str, bool]:
    """Give the requested outputs, all if none is named, and whether each goes out in binary.

    Raises:
        InvalidRequestError: a name is unknown, or occurs twice.
    """
    if not asked:
        return dict.fromkeys(OUTPUTS, by_default)
    names = [name for name, _ in asked]
    if any(name not in OUTPUTS for name in names):
        raise refused(f"The only outputs are {' and '.join(OUTPUTS)}.")
    if len(set(names)) < len(names):
        raise refused("An output is requested twice.")
    return {str(name): binary for name, binary in asked}


def unpack_bytes(raw: bytes) -> list[bytes]:
    """Read a binary BYTES tensor: per element four bytes of length, little-endian, and the element.

    Raises:
        InvalidRequestError: the lengths do not add up to the data.
    """
    elements = []
    offset = 0
    while offset < len(raw):
        end = offset + 4
        if end > len(raw):
            raise refused(f"The binary data of {INPUT} ends inside a length.")
        (length,) = struct.unpack_from("<I", raw, offset)
        if end + length > len(raw):
            raise refused(f"The binary data of {INPUT} ends inside an element.")
        elements.append(raw[end : end + length])
        offset = end + length
    return elements


def pack_bytes(elements: Iterable[str]) -> bytes:
    """Write a binary BYTES tensor."""
    encoded = [element.encode() for element in elements]
    return b"".join(struct.pack("<I", len(element)) + element for element in encoded)


def pack_scores(scores: NDArray[np.float32]) -> bytes:
    """Write a binary FP32 tensor."""
    return np.ascontiguousarray(scores, dtype="<f4").tobytes()
