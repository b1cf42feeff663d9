"""The SDK's gRPC service with true status codes, versions in the metadata, and no loading or unloading on request."""

import logging
from collections.abc import Sequence
from typing import Any, NoReturn

import grpc
from grpc import aio
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as pb_grpc
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.infer_type import InferRequest, InferResponse

from predictor.draining import Draining
from predictor.errors import PredictorError
from predictor.metrics import Metrics
from predictor.protocol.model import TIMEOUT_HEADER
from predictor.protocol.service import ServedModel

log = logging.getLogger(__name__)

_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.INVALID_ARGUMENT,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
# Room for what protobuf adds to a body of the largest allowed size.
_FRAMING_BYTES = 65_536


class GrpcServer:
    """Serves OIP over gRPC on one port, in the event loop that serves REST.

    Args:
        port: TCP port on all interfaces.
        data_plane: the SDK's, with the model registered.
        served: what is served, for metadata and limits.
        metrics: where it reports.
        draining: says whether the process leaves.
        grace_s: how long running calls may take at the end.
        interceptors: what stands around every call, outermost first.
    """

    def __init__(
        self,
        *,
        port: int,
        data_plane: DataPlane,
        served: ServedModel,
        metrics: Metrics,
        draining: Draining,
        grace_s: float,
        interceptors: Sequence[aio.ServerInterceptor] = (),
    ) -> None:
        self._port = port
        self._servicer = _Servicer(data_plane=data_plane, served=served, metrics=metrics, draining=draining)
        self._max_message_bytes = served.limits.max_body_bytes + _FRAMING_BYTES
        self._grace_s = grace_s
        self._interceptors = interceptors
        self._server: aio.Server | None = None

    async def start(self) -> None:
        """Serve until stopped."""
        server = aio.server(
            interceptors=self._interceptors, options=[("grpc.max_receive_message_length", self._max_message_bytes)]
        )
        pb_grpc.add_GRPCInferenceServiceServicer_to_server(self._servicer, server)
        server.add_insecure_port(f"[::]:{self._port}")
        self._server = server
        await server.start()
        await server.wait_for_termination()

    async def stop(self, _signal: int | None = None) -> None:
        """Take no new calls and wait for the running ones."""
        if self._server is not None:
            await self._server.stop(grace=self._grace_s)


class _Servicer(InferenceServicer):  # type: ignore[misc] # the SDK is untyped
    def __init__(self, *, data_plane: DataPlane, served: ServedModel, metrics: Metrics, draining: Draining) -> None:
        super().__init__(data_plane, None)
        self._served = served
        self._metrics = metrics
        self._draining = draining

    async def ModelInfer(self, request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Classify; a call's own deadline shortens the service's."""
        status = grpc.StatusCode.CANCELLED.name
        try:
            self._served.check_name(request.model_name, request.model_version)
            self.validate_grpc_request(request)
            response, _ = await self._data_plane.infer(
                request=InferRequest.from_grpc(request), headers=_headers(context), model_name=request.model_name
            )
            assert isinstance(response, InferResponse)  # noqa: S101 - the one model gives nothing else
            answer = response.to_grpc()
            status = grpc.StatusCode.OK.name
            return answer  # noqa: TRY300 - there is no else beside a finally that reads the status
        except Exception as error:  # noqa: BLE001 - each has a status of its own
            status = _code(error).name
            await _abort(context, error)
        finally:
            self._metrics.requests.labels("grpc_infer", status).inc()

    async def ModelMetadata(self, request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Say what is served."""
        try:
            self._served.check_name(request.name, request.version)
        except PredictorError as error:
            await _abort(context, error)
        said = self._served.metadata()
        return pb.ModelMetadataResponse(
            **{key: said[key] for key in ("name", "versions", "platform", "inputs", "outputs")}
        )

    async def ModelReady(self, request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Say whether this model is ready."""
        try:
            self._served.check_name(request.name, request.version)
        except PredictorError as error:
            await _abort(context, error)
        return pb.ModelReadyResponse(ready=self._draining.ready)

    async def ServerReady(self, _request: Any, _context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Say whether new calls should come here."""
        return pb.ServerReadyResponse(ready=self._draining.ready)

    async def RepositoryModelLoad(self, _request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Refuse: the process serves the model it was started with."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are not loaded by request")

    async def RepositoryModelUnload(self, _request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Refuse: the process serves the model it was started with."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "models are not unloaded by request")


def _headers(context: aio.ServicerContext[Any, Any]) -> dict[str, str]:
    metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
    remaining_s = context.time_remaining()
    if remaining_s is not None:
        stated = metadata.get(TIMEOUT_HEADER, "")
        remaining_ms = max(0, min(int(remaining_s * 1000), 999_999_999))
        metadata[TIMEOUT_HEADER] = str(min(remaining_ms, int(stated)) if stated.isdecimal() else remaining_ms)
    return metadata


def _code(error: Exception) -> grpc.StatusCode:
    if isinstance(error, PredictorError):
        return _CODES.get(error.status, grpc.StatusCode.INTERNAL)
    if isinstance(error, InvalidInput):
        return grpc.StatusCode.INVALID_ARGUMENT
    return grpc.StatusCode.NOT_FOUND if isinstance(error, ModelNotFound) else grpc.StatusCode.INTERNAL


async def _abort(context: aio.ServicerContext[Any, Any], error: Exception) -> NoReturn:
    trailers: tuple[tuple[str, str], ...] = ()
    sentence = "the predictor failed"
    if isinstance(error, PredictorError):
        sentence = error.sentence
        trailers = (("retry-after", str(error.retry_after_s)),) if error.retry_after_s is not None else ()
    elif isinstance(error, InvalidInput):
        sentence = "the request does not describe its tensors"
    elif isinstance(error, ModelNotFound):
        sentence = "no such model"
    else:
        log.error("call failed", extra={"error": type(error).__name__}, exc_info=error)
    await context.abort(_code(error), sentence, trailers)
    raise AssertionError("abort returns to nobody")
