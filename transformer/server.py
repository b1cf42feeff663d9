"""The composition root: builds the transformer's parts, wires them together and runs the server."""

import functools
import os
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

from kserve.model_server import app, args
from prometheus_client import REGISTRY

from serving import tracing
from serving.assembly import Site
from serving.assembly import serve as run
from serving.openapi import Described
from serving.schema import RequestSchema
from serving.throttling import Throttling
from transformer.cache.connections import Connections
from transformer.cache.in_force import InForceRecord
from transformer.cache.key import CacheKeys
from transformer.cache.redis_cache import RedisCache
from transformer.cache.sealed import Seal
from transformer.cache.shards import ShardedCache
from transformer.cache.tiers import MemoryCache, TieredCache
from transformer.lifespan import Lifespan
from transformer.metrics import Metrics
from transformer.names import Names
from transformer.pages import Pages
from transformer.pipeline.models import ModelsInForce
from transformer.pipeline.pipeline import Pipeline
from transformer.pipeline.predictor_client import PredictorClient
from transformer.service import TransformerService
from transformer.settings import Settings

if TYPE_CHECKING:
    from transformer.traced import Traced

_ANSWER_HEADERS: Mapping[str, Any] = {
    "x-cache": {"schema": {"type": "string", "enum": ["hit", "miss", "partial"]}},
    "x-model-version": {"schema": {"type": "string"}},
    "x-request-id": {"schema": {"type": "string"}},
    "x-truncated": {"description": "Texts cut at the model's limit, if any.", "schema": {"type": "integer"}},
    "server-timing": {"schema": {"type": "string"}},
}
_OK = {"200": {"description": "The process serves.", "content": {"application/json": {"schema": {"type": "object"}}}}}
_HEALTH = {"get": {"operationId": "health", "summary": "Health of the process", "responses": _OK}}


def serve(settings: Settings) -> None:
    """Run the transformer until it is told to stop.

    Raises:
        SystemExit: no ``--predictor_host`` was given.
    """
    if not args.predictor_host:
        raise SystemExit("transformer: --predictor_host is missing; it names the predictor that misses go to")
    metrics = Metrics()
    REGISTRY.register(metrics)
    REGISTRY.register(Throttling(service="transformer"))
    tracing_ = tracing.start(os.environ, service=f"{args.model_name}-transformer")
    traced = _traced(tracing_)
    schema = (traced.schema if traced else RequestSchema)(
        max_texts=settings.max_texts, max_text_chars=settings.max_text_chars
    )
    names = Names()
    predictor = PredictorClient(
        base_url=f"{'https' if args.predictor_use_ssl else 'http'}://{args.predictor_host}",
        model_name=args.model_name,
        timeout_s=settings.predictor_timeout_s,
        max_texts=settings.predictor_max_texts,
        connections=settings.predictor_connections,
        metrics=metrics,
        names=names,
    )
    secret = settings.cache_secret.get_secret_value().encode() if settings.cache_secret else b""
    keys = CacheKeys(secret=secret)
    redis = _redis(settings, metrics, names)
    in_force = InForceRecord(shared=redis, keys=keys) if redis else None
    models = ModelsInForce(keys=keys, metrics=metrics, note=in_force.note if in_force else None)
    cache = TieredCache(
        memory=MemoryCache(entries=settings.l1_entries, ttl_s=settings.l1_ttl_s),
        shared=redis,
        # Without a secret anyone could make the tag, and it would prove nothing.
        seal=Seal(keys=keys, metrics=metrics.redis) if keys.secret else None,
    )
    pipeline = (traced.pipeline if traced else Pipeline)(
        cache=traced.cache(cache) if traced else cache,
        predictor=traced.predictor(predictor) if traced else predictor,
        keys=keys,
        models=models,
        metrics=metrics,
    )
    app.router.lifespan_context = Lifespan(
        predictor=predictor, pipeline=pipeline, models=models, redis=redis, in_force=in_force
    ).run
    service = TransformerService(name=args.model_name, pipeline=pipeline, schema=schema)
    try:
        run(service, _site(settings, service, metrics), settings, counts=metrics, traced=traced)
    finally:
        if tracing_:
            tracing_.close()


def _site(settings: Settings, service: TransformerService, metrics: Metrics) -> Site:
    predict = ("/predict", service.schema.predict)
    return Site(
        described=Described(
            title="Sentiment",
            description="Sentiment of texts, answered from a cache where possible.",
            version=metadata.version("sentiment-kserve"),
            headers=_ANSWER_HEADERS,
            failures=(500, 502, 503, 504),
            texts={"/": "predict_at_root", "/predict": "predict"},
            paths={"/health": _HEALTH},
        ),
        texts={"/predict": predict, "/": predict},
        pages=Pages(service=service, metrics=metrics, playground=settings.playground).answer,
        readiness=("/health",),
    )


def _traced(tracing_: tracing.Tracing | None) -> "Traced | None":
    if tracing_ is None:
        return None
    from transformer.traced import Traced  # noqa: PLC0415 - loads OpenTelemetry

    return Traced(tracer=tracing_.tracer)


def _redis(settings: Settings, metrics: Metrics, names: Names) -> ShardedCache | None:
    if settings.redis_url is None:
        return None
    return ShardedCache(
        connections=Connections(settings, names=names),
        topology=settings.redis_topology,
        make_cache=functools.partial(
            RedisCache,
            metrics=metrics.redis,
            budget_s=settings.redis_budget_ms / 1000,
            ttl_s=settings.cache_ttl_s,
        ),
        metrics=metrics.redis,
    )
