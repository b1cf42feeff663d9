"""The KServe model that the SDK's data plane calls: OIP tensors in, tensors out; no arithmetic of its own."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from kserve.model import Model
from kserve.protocol.infer_type import InferInput, InferOutput, InferRequest, InferResponse

from predictor.errors import InvalidTensorError
from predictor.protocol import oip
from predictor.protocol.service import ServedModel

TIMEOUT_HEADER = "x-request-timeout-ms"


class SentimentModel(Model):
    """Answers OIP inference through the SDK; gRPC comes this way.

    Args:
        served: what answers.
    """

    def __init__(self, *, served: ServedModel) -> None:
        super().__init__(served.name)
        self._served = served
        self.ready = True

    async def predict(
        self, payload: Any, headers: Mapping[str, str] | None = None, response_headers: Any = None
    ) -> InferResponse:
        """Classify the texts of one BYTES tensor ``text``, shape [N] or [N, 1].

        Args:
            payload: an ``InferRequest``.
            headers: ``x-request-timeout-ms`` shortens the deadline.
            response_headers: takes ``x-model-version`` where the SDK passes it.

        Raises:
            PredictorError: see ``predictor.errors``.
        """
        if not isinstance(payload, InferRequest):
            raise InvalidTensorError("the request is no inference request")
        served = self._served
        served.check_name(served.name, payload.model_version)
        texts = _texts(payload, served)
        answer = await served.classifier.classify(texts, time_left_s=self._time_left_s(headers or {}))
        if response_headers is not None:
            response_headers["x-model-version"] = served.version
        best = oip.best_labels(answer, served.labels)
        label = InferOutput(name="label", shape=[len(best)], datatype="BYTES", data=best)
        scores = InferOutput(
            name="scores", shape=list(answer.scores.shape), datatype="FP32", data=answer.scores.reshape(-1).tolist()
        )
        return InferResponse(
            response_id=payload.id,
            model_name=served.name,
            model_version=served.version,
            infer_outputs=[label, scores],
            from_grpc=payload.from_grpc,
            parameters=oip.response_parameters(answer, served.labels),
            use_binary_outputs=payload.use_binary_outputs,
            requested_outputs=payload.request_outputs,
        )

    def get_input_types(self) -> list[dict[str, Any]]:
        """Give the input tensors."""
        return self._served.inputs()

    def get_output_types(self) -> list[dict[str, Any]]:
        """Give the output tensors."""
        return self._served.outputs()

    def _time_left_s(self, headers: Mapping[str, str]) -> float:
        stated = headers.get(TIMEOUT_HEADER, "")
        longest = self._served.deadline_s
        return min(longest, int(stated) / 1000) if stated.isdecimal() and len(stated) < 10 else longest


def _texts(request: InferRequest, served: ServedModel) -> list[str]:
    inputs: list[InferInput] = request.inputs
    if len(inputs) != 1:
        raise InvalidTensorError(f"inputs must hold one tensor, {oip.INPUT}")
    tensor = inputs[0]
    count = oip.check_tensor(tensor.name, tensor.datatype, list(tensor.shape))
    raw = tensor._raw_data  # noqa: SLF001 - the SDK's own reader fails on malformed data with whatever it meets
    data = tensor.data
    elements = oip.unpack_bytes(raw) if raw is not None else _flat(data)
    return oip.to_texts(elements, count=count, limits=served.limits)


def _flat(data: Any) -> list[Any]:
    return list(data.reshape(-1)) if isinstance(data, np.ndarray) else list(data or [])
