"""The Open Inference Protocol over gRPC, with gRPC's own health and reflection services beside it."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as pb_grpc

from serving.errors import ServiceError
from serving.front import Counts
from serving.grpc_decoding import Decoding
from serving.http.reply import Headers
from serving.oip import grpc_messages
from serving.predictions import INFER_CALL, named
from serving.request_id import REQUEST_ID, RequestIds
from serving.service import TIMEOUT, Inferred, Service

log = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name

_GONE = 499
_CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}


class GrpcServer:
    """Serves gRPC on one port, in the event loop that serves REST.

    Args:
        port: TCP port on all interfaces.
        service: what answers.
        counts: told of every inference; its status is the one that REST would give.
        server_metadata: the SDK's name, version and extensions.
        ready: whether new calls may come.
        max_message_bytes: most bytes of a call, the same as of a body.
        grace_s: how long running calls may take to finish.
        interceptors: around every call, outermost first.
    """

    def __init__(
        self,
        *,
        port: int,
        service: Service,
        counts: Counts,
        server_metadata: Mapping[str, Any],
        ready: Callable[[], bool],
        max_message_bytes: int,
        grace_s: float,
        interceptors: Sequence[aio.ServerInterceptor] = (),
    ) -> None:
        self._port = port
        self._servicer = _Servicer(service=service, counts=counts, server_metadata=server_metadata, ready=ready)
        self._max_message_bytes = max_message_bytes
        self._grace_s = grace_s
        self._interceptors = (*interceptors, Decoding())
        self._health = health.aio.HealthServicer()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: aio.Server | None = None

    async def start(self) -> None:
        """Serve until stopped."""
        self._loop = asyncio.get_running_loop()
        server = aio.server(
            interceptors=self._interceptors, options=[("grpc.max_receive_message_length", self._max_message_bytes)]
        )
        pb_grpc.add_GRPCInferenceServiceServicer_to_server(self._servicer, server)
        await self._health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        named_services = (SERVICE, health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)
        reflection.enable_server_reflection((*named_services, reflection.SERVICE_NAME), server)
        server.add_insecure_port(f"[::]:{self._port}")
        self._server = server
        await server.start()
        await server.wait_for_termination()

    def leave(self) -> None:
        """Report NOT_SERVING through the health service; may be called from a signal handler."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self._health.enter_graceful_shutdown(), self._loop)

    async def stop(self, _signal: int | None = None) -> None:
        """Take no new calls and wait for the running ones."""
        if self._server is not None:
            await self._server.stop(grace=self._grace_s)


class _Servicer(pb_grpc.GRPCInferenceServiceServicer):
    def __init__(
        self, *, service: Service, counts: Counts, server_metadata: Mapping[str, Any], ready: Callable[[], bool]
    ) -> None:
        self._service = service
        self._counts = counts
        self._server_metadata = server_metadata
        self._ready = ready
        self._ids = RequestIds()

    async def ModelInfer(self, request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Classify; the call's deadline is passed on as a header."""
        started = time.perf_counter()
        request_id, headers = self._ids.identify(_headers(context))
        status, outcome = _GONE, "error"
        try:
            self._service.check_model(request.model_name, request.model_version)
            call = grpc_messages.parse(request, schema=self._service.schema)
            begun = self._service.infer(call.texts, headers, started=started)
            inferred = begun if isinstance(begun, Inferred) else await begun
            inferred.check_version(request.model_version)
            answer = grpc_messages.write(call, inferred.tensors, model_name=self._service.name)
            context.set_trailing_metadata(_metadata([*inferred.headers, (REQUEST_ID, request_id)]))
            status, outcome = 200, inferred.outcome
            return answer  # noqa: TRY300 - there is no else beside a finally that reads the status
        except ServiceError as error:
            status = error.status
            await _abort(context, error, (REQUEST_ID, request_id))
        except Exception:
            status = 500
            log.exception("a call failed", extra={"route": INFER_CALL, **named(headers)})
            await _abort(context, ServiceError(), (REQUEST_ID, request_id))
        finally:
            seconds = time.perf_counter() - started
            self._counts.request(route=INFER_CALL, status=status, outcome=outcome, seconds=seconds)

    async def ModelMetadata(self, request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Describe the model."""
        await self._check(request, context)
        said = self._service.metadata()
        return pb.ModelMetadataResponse(
            **{key: said[key] for key in ("name", "versions", "platform", "inputs", "outputs")}
        )

    async def ModelReady(self, request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Say whether this model is ready."""
        await self._check(request, context)
        return pb.ModelReadyResponse(ready=self._ready())

    async def ServerLive(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        """Say that the process is alive."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        """Say whether new calls may come."""
        return pb.ServerReadyResponse(ready=self._ready())

    async def ServerMetadata(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        """Describe the server."""
        return pb.ServerMetadataResponse(**self._server_metadata)

    async def RepositoryModelLoad(self, _request: Any, context: aio.ServicerContext[Any, Any]) -> Any:  # noqa: N802
        """Refuse: the process serves the model it was started with."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Models are not loaded or unloaded on request.")

    RepositoryModelUnload = RepositoryModelLoad

    async def _check(self, request: Any, context: aio.ServicerContext[Any, Any]) -> None:
        try:
            self._service.check_model(request.name, request.version)
        except ServiceError as error:
            await _abort(context, error)


def _headers(context: aio.ServicerContext[Any, Any]) -> Headers:
    """Give a call's metadata as headers, with the time left until its deadline among them."""
    metadata = context.invocation_metadata() or ()
    headers = [
        (key.encode(), value if isinstance(value, bytes) else value.encode("latin-1")) for key, value in metadata
    ]
    remaining_s = context.time_remaining()
    if remaining_s is not None:
        headers.append((TIMEOUT, b"%d" % max(0, min(int(remaining_s * 1000), 999_999_999))))
    return headers


def _metadata(headers: Headers) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


async def _abort(context: aio.ServicerContext[Any, Any], error: ServiceError, *more: tuple[bytes, bytes]) -> NoReturn:
    said = [header for header in error.headers() if header[0] != b"content-type"]
    code = _CODES.get(
        error.status, grpc.StatusCode.INTERNAL if error.status >= 500 else grpc.StatusCode.INVALID_ARGUMENT
    )
    await context.abort(code, error.sentence, _metadata([*said, *more]))
    raise AssertionError("abort does not return")
