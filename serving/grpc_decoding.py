"""Refuses messages that cannot be decoded; gRPC itself would log the client's mistake as ours, and say UNKNOWN."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc import aio


class Decoding(aio.ServerInterceptor):
    """Answers undecodable messages of unary calls with ``INVALID_ARGUMENT``. Must be the innermost interceptor."""

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Give the call's handler, with a decoder that does not raise."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming or handler.response_streaming:
            return handler
        decode, answer = handler.request_deserializer, handler.unary_unary

        def decode_or_none(data: bytes) -> Any:
            try:
                return decode(data)
            except DecodeError:
                return None

        async def answer_or_refuse(request: Any, context: aio.ServicerContext[Any, Any]) -> Any:
            if request is None:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The message could not be decoded.")
            return await answer(request, context)

        return grpc.unary_unary_rpc_method_handler(
            answer_or_refuse,
            request_deserializer=decode_or_none,
            response_serializer=handler.response_serializer,
        )
