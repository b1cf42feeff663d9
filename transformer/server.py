"""The composition root: reads settings, builds the parts, wires them into the SDK's server, runs it."""

import asyncio
import contextlib
import functools
import logging
import os
from collections.abc import AsyncIterator
from importlib import metadata
from typing import Any

import uvloop
from fastapi import FastAPI
from kserve.errors import InvalidInput
from kserve.model_repository import ModelRepository
from kserve.model_server import ModelServer, app, args
from kserve.protocol.dataplane import DataPlane
from prometheus_client import REGISTRY

from serving.throttling import Throttling
from transformer import logs, tracing
from transformer.cache.in_force import InForceRecord
from transformer.cache.key import CacheKeys
from transformer.cache.redis_cache import RedisCache
from transformer.cache.redis_client import connect
from transformer.cache.redis_health import RedisHealth
from transformer.cache.tiers import MemoryCache, TieredCache
from transformer.direct_http import Direct
from transformer.draining import Draining
from transformer.errors import PredictorError
from transformer.http_limits import HttpLimits, LimitedHttp
from transformer.metrics import Metrics
from transformer.pipeline.pipeline import Pipeline
from transformer.pipeline.predictor_client import PredictorClient
from transformer.protocol import openapi, sdk_errors
from transformer.protocol.model import SentimentTransformer
from transformer.protocol.pages import pages
from transformer.protocol.routes import HotPath
from transformer.protocol.schema import RequestSchema
from transformer.settings import Settings

log = logging.getLogger(__name__)

_REDIS_START_S = 0.3  # a Redis that is there answers within this; one that is not must not hold the pod back
_REDIS_FLUSH_S = 1.0
_LEARN_PAUSE_S = (0.2, 5.0)
_MOST_HEAD_BYTES = 65_536
_JSON_LENGTH = "inference-header-content-length"


class _DataPlane(DataPlane):
    """The SDK's data plane, with versions in the metadata and no crash on malformed binary requests."""

    def __init__(self, *, model_registry: ModelRepository, pipeline: Pipeline, draining: Draining) -> None:
        super().__init__(model_registry=model_registry)
        self._pipeline = pipeline
        self._draining = draining

    async def ready(self) -> bool:
        return not self._draining.begun and bool(await super().ready())

    async def model_metadata(self, model_name: str) -> dict[str, Any]:
        said: dict[str, Any] = await super().model_metadata(model_name)
        model = self._pipeline.model
        return said | {"platform": "sentiment-transformer", "versions": [model.version] if model else []}

    def decode_inference_request(self, body: Any, headers: Any, model_name: str) -> Any:
        if isinstance(body, bytes) and _JSON_LENGTH not in headers:
            # JSON whatever the content type says: Triton's client says nothing when no tensor is binary.
            headers = {_JSON_LENGTH: str(len(body))}
        try:
            return super().decode_inference_request(body, headers, model_name)
        except InvalidInput:
            raise
        except Exception as error:
            raise InvalidInput("the request could not be decoded") from error


class _RefusingRepository:
    """Stands where the SDK loads and unloads models on anybody's word."""

    async def load(self, model_name: str) -> None:
        raise InvalidInput(f"models are not loaded by request: {model_name}")

    unload = load


class _Server(ModelServer):
    """The SDK's server with the hot path in front, on uvloop and httptools, quiet."""

    def __init__(
        self, *, front: Draining, direct: Direct, pipeline: Pipeline, limits: HttpLimits, **options: Any
    ) -> None:
        super().__init__(**options)
        self._front = front
        self._protocol = functools.partial(LimitedHttp, limits=limits, direct=direct)
        self.dataplane = _DataPlane(model_registry=self.registered_models, pipeline=pipeline, draining=front)
        self.model_repository_extension = _RefusingRepository()

    def setup_event_loop(self) -> None:
        """Leave the loop alone: the SDK would prepare one that is never run."""

    async def _serve(self) -> None:
        rest = self._rest_server
        config = rest.config
        config.app, config.interface, config.access_log, config.server_header = self._front, "asgi3", False, False
        config.http, config.ws = self._protocol, "none"
        uvicorn = rest._server  # noqa: SLF001
        uvicorn.handle_exit = self._front.handler(leave=uvicorn.handle_exit, loop=asyncio.get_running_loop())
        # The SDK's timing middleware matches every route again and logs each request twice.
        rest._add_middlewares = lambda _app: None  # noqa: SLF001
        create = rest.create_application

        def create_application() -> None:
            create()
            sdk_errors.install(app)

        rest.create_application = create_application
        await super()._serve()


class _Service:
    """Everything with a start and an end, in their order."""

    def __init__(
        self,
        *,
        predictor: PredictorClient,
        pipeline: Pipeline,
        redis: tuple[RedisHealth, RedisCache, Any] | None,
        in_force: InForceRecord | None,
    ) -> None:
        self._predictor = predictor
        self._pipeline = pipeline
        self._redis = redis
        self._in_force = in_force

    @contextlib.asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Start before the port opens, end after the last answer."""
        await self._predictor.start()
        if self._redis is not None:
            health, cache, _client = self._redis
            await cache.start()
            await health.start(wait_s=_REDIS_START_S)
        await self._presume_version()
        learner = asyncio.create_task(self._learn_version(), name="learn-version")
        log.info("serving", extra={"event": "ready"})
        try:
            yield
        finally:
            learner.cancel()
            await asyncio.gather(learner, return_exceptions=True)
            await self._pipeline.close()
            if self._redis is not None:
                health, cache, client = self._redis
                await cache.stop(flush_s=_REDIS_FLUSH_S)
                await health.stop()
                await client.close()
            await self._predictor.close()

    async def _learn_version(self) -> None:
        """Ask which model is served until the predictor says: without it nothing can be looked up."""
        pause_s, longest_s = _LEARN_PAUSE_S
        while not self._pipeline.confirmed:
            try:
                version, labels = await self._predictor.metadata()
            except PredictorError:
                await self._presume_version()
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, longest_s)
            else:
                if not self._pipeline.confirmed:
                    self._pipeline.adopt(version, labels)

    async def _presume_version(self) -> None:
        """Go by what other processes learnt, so that cached answers do not wait for the predictor."""
        if self._in_force is None or self._pipeline.model is not None:
            return
        found = await self._in_force.read()
        if found is not None:
            self._pipeline.presume(*found)


def serve() -> None:
    """Run the transformer until it is told to stop.

    Raises:
        pydantic.ValidationError: a setting is wrong.
        SystemExit: no ``--predictor_host`` was given.
    """
    settings = Settings()
    logs.configure(settings.log_level)
    if not args.predictor_host:
        raise SystemExit("transformer: --predictor_host is missing: where do misses go?")
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    metrics = Metrics()
    REGISTRY.register(metrics)
    REGISTRY.register(Throttling(service="transformer"))
    traced = tracing.start(os.environ, service=f"{args.model_name}-transformer")
    schema = (traced.schema if traced else RequestSchema)(
        max_texts=settings.max_texts, max_text_chars=settings.max_text_chars
    )
    redis = _redis(settings, metrics)
    cache = TieredCache(
        memory=MemoryCache(entries=settings.l1_entries, ttl_s=settings.l1_ttl_s),
        shared=redis[1] if redis else None,
    )
    predictor = PredictorClient(
        base_url=f"{'https' if args.predictor_use_ssl else 'http'}://{args.predictor_host}",
        model_name=args.model_name,
        timeout_s=settings.predictor_timeout_s,
        max_texts=settings.predictor_max_texts,
        connections=settings.predictor_connections,
        metrics=metrics,
    )
    secret = settings.cache_secret.get_secret_value().encode() if settings.cache_secret else b""
    keys = CacheKeys(secret=secret)
    in_force = InForceRecord(shared=redis[1], keys=keys) if redis else None
    noting = {"note": in_force.note} if in_force else {}
    pipeline = (traced.pipeline if traced else Pipeline)(
        cache=traced.cache(cache) if traced else cache,
        predictor=traced.predictor(predictor) if traced else predictor,
        keys=keys,
        metrics=metrics,
        **noting,
    )
    service = _Service(predictor=predictor, pipeline=pipeline, redis=redis, in_force=in_force)
    app.router.lifespan_context = service.lifespan
    app.openapi = openapi.document(
        app, model_name=args.model_name, schema=schema, version=metadata.version("sentiment-kserve")
    )
    hot_path = HotPath(
        app=app,
        model_name=args.model_name,
        pipeline=pipeline,
        schema=schema,
        metrics=metrics,
        max_body_bytes=settings.max_body_bytes,
        pages=pages(playground=settings.playground),
        access_log=settings.access_log,
    )
    if traced:
        hot_path.only_asgi()
    model = SentimentTransformer(name=args.model_name, pipeline=pipeline, schema=schema)
    front = Draining(
        app=traced.app(hot_path) if traced else hot_path,
        model_name=args.model_name,
        pause_s=settings.drain_s,
        on_begin=hot_path.only_asgi,
    )
    if traced:
        traced.grpc()
    limits = HttpLimits(
        head_bytes=_MOST_HEAD_BYTES, receive_s=settings.receive_timeout_s, connections=settings.max_connections
    )
    try:
        _Server(front=front, direct=hot_path, pipeline=pipeline, limits=limits, enable_latency_logging=False).start(
            [model]
        )
    finally:
        if traced:
            traced.close()


def _redis(settings: Settings, metrics: Metrics) -> tuple[RedisHealth, RedisCache, Any] | None:
    if settings.redis_url is None:
        return None
    client = connect(settings)
    health = RedisHealth(probe=client.probe, metrics=metrics.redis)
    cache = RedisCache(
        commands=client,
        health=health,
        metrics=metrics.redis,
        budget_s=settings.redis_budget_ms / 1000,
        ttl_s=settings.cache_ttl_s,
    )
    return health, cache, client
