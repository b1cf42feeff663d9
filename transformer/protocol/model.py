"""The KServe model that the SDK's routes call: Open Inference Protocol in, the pipeline's answers out."""

import uuid
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
from grpc import StatusCode
from grpc_interceptor.exceptions import GrpcException
from kserve.model import Model as KServeModel
from kserve.protocol.infer_type import InferInput, InferOutput, InferRequest, InferResponse

from transformer.errors import InvalidRequestError, TransformerError
from transformer.pipeline.pipeline import Classified, Pipeline, RawHeaders
from transformer.protocol.schema import RequestSchema

_GRPC_CODES = {
    400: StatusCode.INVALID_ARGUMENT,
    404: StatusCode.NOT_FOUND,
    413: StatusCode.RESOURCE_EXHAUSTED,
    422: StatusCode.INVALID_ARGUMENT,
    502: StatusCode.INTERNAL,
    503: StatusCode.UNAVAILABLE,
    504: StatusCode.DEADLINE_EXCEEDED,
}


class SentimentTransformer(KServeModel):
    """Answers the SDK's inference routes, REST and gRPC, from the pipeline.

    Args:
        name: the model's name in routes.
        pipeline: classifies texts.
        schema: checks texts.
    """

    def __init__(self, *, name: str, pipeline: Pipeline, schema: RequestSchema) -> None:
        super().__init__(name, return_response_headers=True)
        self._pipeline = pipeline
        self._schema = schema
        self.ready = True

    async def predict(
        self, payload: Any, headers: Mapping[str, str] | None = None, response_headers: Any = None
    ) -> InferResponse:
        """Classify the texts of one BYTES tensor ``text`` of shape [N].

        Args:
            payload: the decoded request.
            headers: the request's headers, or the call's metadata.
            response_headers: a dict that takes ``x-cache``, ``x-model-version`` and ``x-truncated``.

        Returns:
            Outputs ``label`` BYTES [N], the best label of each text, and ``scores`` FP32 [N, labels] in class order.

        Raises:
            TransformerError: over REST; over gRPC ``GrpcException`` with the matching code.
        """
        if not isinstance(payload, InferRequest):
            raise InvalidRequestError("The body is not an Open Inference Protocol request.", status=400)
        try:
            texts = self._schema.texts(_texts(payload), field="text")
            classified = await self._pipeline.classify(texts, _raw(headers or {}))
        except TransformerError as error:
            if not payload.from_grpc:
                raise
            code = _GRPC_CODES.get(error.status, StatusCode.INTERNAL)
            raise GrpcException(status_code=code, details=str(error)) from None
        if response_headers is not None:
            response_headers.update(answer_headers(classified))
        return self._response(payload, classified)

    def get_input_types(self) -> list[dict[str, Any]]:
        """Describe the input tensor."""
        return [{"name": "text", "datatype": "BYTES", "shape": [-1]}]

    def get_output_types(self) -> list[dict[str, Any]]:
        """Describe the output tensors; the number of labels is known once the predictor has answered."""
        model = self._pipeline.model
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, len(model.labels) if model else -1]},
        ]

    def _response(self, request: InferRequest, classified: Classified) -> InferResponse:
        model = classified.model
        rows = [answer.scores() for answer in classified.answers]
        best = [model.labels[row.index(max(row))] for row in rows]
        flat = [score for row in rows for score in row]
        return InferResponse(
            response_id=request.id or uuid.uuid4().hex,
            model_name=self.name,
            model_version=model.version,
            infer_outputs=[
                InferOutput(name="label", shape=[len(best)], datatype="BYTES", data=best),
                InferOutput(name="scores", shape=[len(rows), len(model.labels)], datatype="FP32", data=flat),
            ],
            from_grpc=request.from_grpc,
            parameters={"labels": orjson.dumps(model.labels).decode()},
            use_binary_outputs=request.use_binary_outputs,
            requested_outputs=request.request_outputs,
        )


def answer_headers(classified: Classified) -> MutableMapping[str, str]:
    """Give the headers every 200 carries."""
    headers = {"x-cache": classified.outcome, "x-model-version": classified.model.version}
    if classified.truncated:
        headers["x-truncated"] = str(classified.truncated)
    return headers


def _raw(headers: Mapping[str, str]) -> RawHeaders:
    return [
        (str(k).lower().encode("latin-1", "replace"), str(v).encode("latin-1", "replace")) for k, v in headers.items()
    ]


def _texts(request: InferRequest) -> list[Any]:
    inputs: list[InferInput] = request.inputs
    if len(inputs) != 1 or inputs[0].name != "text":
        raise InvalidRequestError("The request needs exactly one input, named text.", status=400)
    tensor = inputs[0]
    if tensor.datatype != "BYTES":
        raise InvalidRequestError("The input text needs the datatype BYTES.", status=400)
    data = tensor.data
    if data is None or len(data) == 0:  # sent as raw bytes
        try:
            data = tensor.as_numpy()
        except Exception:  # noqa: BLE001  # the SDK's decoder meets a stranger's bytes with whatever it likes
            raise InvalidRequestError("The binary data of text could not be decoded.", status=400) from None
    elements = list(data)
    if list(tensor.shape) != [len(elements)]:
        raise InvalidRequestError("The shape of text needs to be [N] for N elements.", status=400)
    try:
        return [element.decode() if isinstance(element, bytes) else element for element in elements]
    except UnicodeDecodeError:
        raise InvalidRequestError("The elements of text need to be UTF-8.", status=400) from None
