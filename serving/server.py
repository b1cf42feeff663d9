"""The SDK's server on uvloop and httptools, with our application in front, our errors throughout, and our gRPC."""

import asyncio
import functools
from typing import Any

import uvloop
from kserve.model import Model
from kserve.model_server import ModelServer, app

from serving.draining import Draining
from serving.grpc_server import GrpcServer
from serving.http.connection import HttpConnection
from serving.http.exchange import Direct
from serving.http.limits import HttpLimits, Slots
from serving.sdk_routes import add_error_handlers, add_routes
from serving.service import Service

GRACE_S = 30


class Server(ModelServer):
    """Runs one service until it is told to stop.

    Args:
        front: the application, with draining.
        service: what is served, for the SDK's own routes.
        direct: answers hot routes without ASGI.
        limits: what connections may cost.
    """

    def __init__(self, *, front: Draining, service: Service, direct: Direct, limits: HttpLimits) -> None:
        super().__init__(workers=1, grace_period=GRACE_S, enable_latency_logging=False, enable_grpc=False)
        self._front = front
        self._service = service
        slots = Slots(most=limits.connections)
        self._protocol = functools.partial(HttpConnection, limits=limits, slots=slots, direct=direct)
        add_routes(app, service=service)

    def run(self, grpc: GrpcServer | None) -> None:
        """Serve, also over gRPC if there is a server for it; returns after the last answer."""
        if grpc is not None:
            self._grpc_server = grpc
            self.servers.append(grpc.start())
        # The SDK starts its loop with asyncio.run and would ignore --event-loop.
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        self.start([_Registered(self._service.name)])

    def setup_event_loop(self) -> None:
        """Leave the loop to asyncio.run: the SDK prepares one here that nothing runs on."""

    async def _serve(self) -> None:
        rest: Any = self._rest_server
        config = rest.config
        config.app, config.interface, config.access_log, config.server_header = self._front, "asgi3", False, False
        config.http, config.ws = self._protocol, "none"
        config.proxy_headers = False  # nothing here asks for the client's address
        uvicorn = rest._server  # noqa: SLF001
        uvicorn.handle_exit = self._front.handler(leave=uvicorn.handle_exit, loop=asyncio.get_running_loop())
        # The SDK's timing middleware matches every route a second time, for a log line.
        rest._add_middlewares = lambda _: None  # noqa: SLF001
        rest._add_exception_handlers = add_error_handlers  # noqa: SLF001
        await super()._serve()


class _Registered(Model):
    """What the SDK lists and asks for readiness; predictions never come this way."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.ready = True
