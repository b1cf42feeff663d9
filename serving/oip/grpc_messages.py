"""The protocol over gRPC: its messages to texts, answers to its messages."""

import uuid
from typing import Any

from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

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

_FLAGS = ("binary_data_output", "binary_data")


def parse(request: Any, *, schema: RequestSchema) -> InferCall:
    """Read a ``ModelInferRequest``; a raw input gets raw outputs.

    Raises:
        InvalidRequestError: as for REST.
    """
    _check_flags(request)
    if len(request.inputs) != 1:
        raise refused(f"The request needs exactly one input, named {INPUT}.")
    (tensor,) = request.inputs
    count = check_tensor(tensor.name, tensor.datatype, list(tensor.shape))
    raw = request.raw_input_contents
    if raw and (len(raw) != 1 or tensor.HasField("contents")):
        raise refused(f"The data of {INPUT} is needed once, raw or as contents.")
    elements = unpack_bytes(raw[0]) if raw else tensor.contents.bytes_contents
    texts = schema.texts(decode_elements(elements, count=count), field=INPUT)
    for output in request.outputs:
        _check_flags(output)
    asked = [(output.name, bool(raw)) for output in request.outputs]
    return InferCall(texts, request.id or str(uuid.uuid4()), wanted_outputs(asked, by_default=bool(raw)))


def write(call: InferCall, tensors: Tensors, *, model_name: str) -> Any:
    """Write the ``ModelInferResponse``."""
    answer = pb.ModelInferResponse(model_name=model_name, model_version=tensors.model_version, id=call.request_id)
    for key, value in tensors.parameters().items():
        answer.parameters[key].string_param = value
    for name, raw in call.outputs.items():
        if name == "label":
            best = tensors.best_labels()
            output = answer.outputs.add(name=name, datatype="BYTES", shape=[len(best)])
            if raw:
                answer.raw_output_contents.append(pack_bytes(best))
            else:
                output.contents.bytes_contents.extend(label.encode() for label in best)
        else:
            output = answer.outputs.add(name=name, datatype="FP32", shape=tensors.scores.shape)
            if raw:
                answer.raw_output_contents.append(pack_scores(tensors.scores))
            else:
                output.contents.fp32_contents.extend(tensors.scores.reshape(-1).tolist())
    return answer


def _check_flags(message: Any) -> None:
    for name in _FLAGS:
        if name in message.parameters and message.parameters[name].WhichOneof("parameter_choice") != "bool_param":
            raise refused(f"The parameter {name} needs to be true or false.")
