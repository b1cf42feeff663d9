"""Puts a server span around every inference over gRPC; loaded only where traces are asked for."""

from collections.abc import Awaitable, Callable
from typing import Any

from grpc import StatusCode
from grpc_interceptor.server import AsyncServerInterceptor
from opentelemetry import propagate
from opentelemetry.trace import SpanKind, Status, Tracer
from opentelemetry.trace import StatusCode as SpanStatus

_SERVICE, _METHOD = "inference.GRPCInferenceService", "ModelInfer"
# The others mean that the client erred or has gone.
_FAULTS = {StatusCode.UNKNOWN, StatusCode.DEADLINE_EXCEEDED, StatusCode.INTERNAL, StatusCode.UNAVAILABLE}


class TracedCalls(AsyncServerInterceptor):
    """Traces ``ModelInfer``; the trace comes in with the call's metadata. Must be the outermost interceptor.

    Args:
        tracer: where spans come from.
    """

    def __init__(self, *, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept(
        self, method: Callable[..., Awaitable[Any]], request_or_iterator: Any, context: Any, method_name: str
    ) -> Any:
        """Answer one call."""
        if method_name != f"/{_SERVICE}/{_METHOD}":
            return await method(request_or_iterator, context)
        carrier = {key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)}
        with self._tracer.start_as_current_span(
            f"{_SERVICE}/{_METHOD}",
            context=propagate.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"rpc.system": "grpc", "rpc.service": _SERVICE, "rpc.method": _METHOD},
            # How a call ends is its status; the exception behind it is gRPC's own.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            code = StatusCode.CANCELLED
            try:
                answer = await method(request_or_iterator, context)
                code = StatusCode.OK
                return answer  # noqa: TRY300 - there is no else beside a finally that reads the code
            except Exception:
                code = context.code() or StatusCode.UNKNOWN
                raise
            finally:
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                if code in _FAULTS:
                    span.set_status(Status(SpanStatus.ERROR))
