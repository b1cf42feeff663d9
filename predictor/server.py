"""The composition root: wires the loaded model into the SDK's server and runs it."""

import asyncio
import functools
import logging
import os
from typing import TYPE_CHECKING, Any

import uvloop
from kserve.model_server import ModelServer, app, args
from prometheus_client import REGISTRY

from predictor import tracing
from predictor.batching.batcher import Batcher
from predictor.batching.classifier import Classifier
from predictor.batching.tokenising import TokenisingThread
from predictor.connections import BoundedHttp, Bounds
from predictor.direct_http import Direct
from predictor.draining import Draining
from predictor.loading import LoadedModel
from predictor.metrics import Metrics
from predictor.protocol.grpc_server import GrpcServer
from predictor.protocol.hot_path import AsgiApp, HotPath
from predictor.protocol.model import SentimentModel
from predictor.protocol.openapi import document
from predictor.protocol.requests import Limits
from predictor.protocol.sdk_routes import add_error_handlers, add_routes
from predictor.protocol.service import ServedModel
from predictor.settings import Settings
from serving.throttling import Throttling

if TYPE_CHECKING:
    from predictor.traced import Traced

log = logging.getLogger("predictor")

_GRACE_S = 30
_BOUNDS = Bounds(head_bytes=65_536, receive_s=30, connections=10_000)


class _Server(ModelServer):
    """The SDK's server on uvloop and httptools, with the hot path in front and our errors throughout."""

    def __init__(self, *, front: Draining, direct: Direct) -> None:
        super().__init__(workers=1, grace_period=_GRACE_S, enable_latency_logging=False, enable_grpc=False)
        self._front = front
        self._protocol = functools.partial(BoundedHttp, bounds=_BOUNDS, direct=direct)

    def serve_grpc(self, *, port: int, served: ServedModel, metrics: Metrics, traced: "Traced | None") -> None:
        """Add our gRPC server to what is started and stopped together."""
        self._grpc_server = GrpcServer(
            port=port,
            data_plane=self.dataplane,
            served=served,
            metrics=metrics,
            draining=self._front,
            grace_s=_GRACE_S,
            interceptors=traced.interceptors() if traced else (),
        )
        self.servers.append(self._grpc_server.start())

    def setup_event_loop(self) -> None:
        """Leave the loop to asyncio.run: the SDK prepares one here that nothing runs on."""

    async def _serve(self) -> None:
        rest: Any = self._rest_server
        config = rest.config
        config.app, config.interface, config.access_log, config.server_header = self._front, "asgi3", False, False
        config.http, config.ws = self._protocol, "none"
        config.proxy_headers = False  # nothing here asks for the client's address
        uvicorn = rest._server  # noqa: SLF001
        uvicorn.handle_exit = self._front.instead_of(uvicorn.handle_exit, loop=asyncio.get_running_loop())
        # The SDK's timing middleware matches every route a second time, for a log line.
        rest._add_middlewares = lambda _: None  # noqa: SLF001
        rest._add_exception_handlers = add_error_handlers  # noqa: SLF001
        await super()._serve()


def serve(settings: Settings, loaded: LoadedModel) -> None:
    """Serve ``loaded`` until a signal says stop; what runs then is finished."""
    metrics = Metrics(registry=REGISTRY)
    REGISTRY.register(Throttling(service="predictor"))
    batcher = Batcher(
        engine=loaded.engine,
        max_batch_tokens=settings.max_batch_tokens,
        max_queue_tokens=settings.max_queue_tokens,
        max_wait_s=settings.max_wait_s,
        tokens_per_s=loaded.tokens_per_s,
        metrics=metrics,
    )
    tokenising = TokenisingThread(tokenizer=loaded.tokenizer, on_tokenised=batcher.put)
    traced = tracing.start(os.environ, service=f"{args.model_name}-predictor")
    classifier = (traced.classifier if traced else Classifier)(
        tokenising=tokenising, batcher=batcher, max_length_tokens=loaded.max_length_tokens, metrics=metrics
    )
    served = _served(settings, loaded, classifier)
    metrics.threads.set(loaded.engine.threads)
    metrics.model_info.labels(served.version, served.engine, served.precision).set(1)
    batcher.start()
    tokenising.start()
    _run(settings, served, metrics, traced)
    classifier.close()
    if traced:
        traced.close()
    log.info("stopped")


def _run(settings: Settings, served: ServedModel, metrics: Metrics, traced: "Traced | None") -> None:
    add_routes(app, model=served)
    app.openapi = document(app, model=served)
    # The SDK starts its loop with asyncio.run and would ignore --event-loop.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    hot_path = HotPath(app=app, model=served, metrics=metrics)
    app_in_front: AsgiApp = hot_path
    if traced:
        hot_path.only_asgi()
        app_in_front = traced.app(hot_path)
    front = Draining(app=app_in_front, model_name=served.name, pause_s=settings.drain_s, on_begin=hot_path.only_asgi)
    server = _Server(front=front, direct=hot_path)
    if args.enable_grpc:
        server.serve_grpc(port=args.grpc_port, served=served, metrics=metrics, traced=traced)
    server.start([SentimentModel(served=served)])


def _served(settings: Settings, loaded: LoadedModel, classifier: Classifier) -> ServedModel:
    engine = loaded.engine
    return ServedModel(
        name=args.model_name,
        version=loaded.version,
        labels=loaded.checkpoint.config.labels,
        engine=engine.name,
        precision=engine.precision,
        arithmetic=engine.arithmetic,
        threads=engine.threads,
        max_length_tokens=loaded.max_length_tokens,
        deadline_s=settings.deadline_s,
        limits=Limits(
            max_texts=settings.max_texts,
            max_text_chars=settings.max_text_chars,
            max_body_bytes=settings.max_body_bytes,
        ),
        classifier=classifier,
    )
