"""The protocol over REST: JSON, or JSON with binary tensors behind it, in both directions."""

import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from serving.foreign import whole_number
from serving.http.reply import JSON, Headers
from serving.oip.tensors import (
    INPUT,
    InferCall,
    Tensors,
    check_tensor,
    decode_elements,
    pack_bytes,
    pack_scores,
    refused,
    unpack_bytes,
    wanted_outputs,
)
from serving.schema import RequestSchema

HEADER_LENGTH = b"inference-header-content-length"
_BINARY = (b"content-type", b"application/octet-stream")


def parse(body: bytes, *, header_length: bytes | None, schema: RequestSchema) -> InferCall:
    """Read an inference request, whatever its content type says.

    Args:
        body: JSON, then the binary tensor if any.
        header_length: the value of ``inference-header-content-length``: where the JSON ends.
        schema: checks the texts.

    Raises:
        InvalidRequestError: not JSON, a field of the wrong type, not one tensor ``text``, shape and data disagree, or a
            limit is exceeded; status 400.
    """
    json_bytes, binary = _split(body, header_length)
    try:
        value = orjson.loads(json_bytes)
    except orjson.JSONDecodeError:
        raise refused("The request body is not valid JSON in UTF-8.") from None
    if not isinstance(value, dict):
        raise refused("The request body needs to be a JSON object.")
    request_id = value.get("id")
    if not isinstance(request_id, str | None):
        raise refused("The id needs to be a string.")
    inputs = value.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise refused(f"The request needs exactly one input, named {INPUT}.")
    tensor = inputs[0]
    count = check_tensor(tensor.get("name"), tensor.get("datatype"), tensor.get("shape"))
    elements = decode_elements(_elements(tensor, binary), count=count)
    outputs = _outputs(value)
    return InferCall(schema.texts(elements, field=INPUT), request_id or str(uuid.uuid4()), outputs)


def write(call: InferCall, tensors: Tensors, *, model_name: str) -> tuple[bytes, Headers]:
    """Write the response's body, and the headers that describe it."""
    outputs: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, in_binary in call.outputs.items():
        output: dict[str, Any]
        if name == "label":
            best = tensors.best_labels()
            output = {"name": name, "datatype": "BYTES", "shape": [len(best)]}
            raw = pack_bytes(best) if in_binary else None
            data: Any = best
        else:
            output = {"name": name, "datatype": "FP32", "shape": list(tensors.scores.shape)}
            raw = pack_scores(tensors.scores) if in_binary else None
            data = tensors.scores.reshape(-1)
        if raw is not None:
            output["parameters"] = {"binary_data_size": len(raw)}
            binary.append(raw)
        else:
            output["data"] = data
        outputs.append(output)
    body = {
        "model_name": model_name,
        "model_version": tensors.model_version,
        "id": call.request_id,
        "parameters": tensors.parameters(),
        "outputs": outputs,
    }
    head = orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)
    if not binary:
        return head, [JSON]
    return b"".join((head, *binary)), [_BINARY, (HEADER_LENGTH, b"%d" % len(head))]


def _split(body: bytes, header_length: bytes | None) -> tuple[bytes, bytes]:
    if header_length is None:
        return body, b""
    end = whole_number(header_length)
    if end is None or end > len(body):
        raise refused("The header Inference-Header-Content-Length does not fit the body.")
    return body[:end], body[end:]


def _elements(tensor: Mapping[str, Any], binary: bytes) -> list[Any]:
    parameters = _parameters(tensor)
    data = tensor.get("data")
    if "binary_data_size" in parameters:
        size = parameters["binary_data_size"]
        if data is not None or type(size) is not int or size != len(binary) or not binary:
            raise refused(f"The binary_data_size of {INPUT} does not fit the body.")
        return list(unpack_bytes(binary))
    if binary:
        raise refused(f"The body has binary data, but {INPUT} has no binary_data_size.")
    if not isinstance(data, list):
        raise refused(f"The data of {INPUT} needs to be a list.")
    if len(tensor["shape"]) == 2 and all(isinstance(row, list) and len(row) == 1 for row in data):
        return [row[0] for row in data]
    return data


def _outputs(value: Mapping[str, Any]) -> dict[str, bool]:
    by_default = _flag(_parameters(value), "binary_data_output", default=False)
    asked = value.get("outputs")
    if asked is None:
        asked = []
    if not isinstance(asked, list) or not all(isinstance(o, dict) and isinstance(o.get("name"), str) for o in asked):
        raise refused("The outputs need to be a list of objects with a name.")
    named = [(output["name"], _flag(_parameters(output), "binary_data", default=by_default)) for output in asked]
    return wanted_outputs(named, by_default=by_default)


def _parameters(of: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = of.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise refused("Parameters need to be an object.")
    return parameters


def _flag(parameters: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise refused(f"The parameter {name} needs to be true or false.")
    return value
