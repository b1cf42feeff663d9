"""The composition root: wires the loaded model into the server and runs it."""

import logging
import os
from typing import TYPE_CHECKING

from kserve.model_server import args
from prometheus_client import REGISTRY

from predictor.batching.batcher import Batcher
from predictor.batching.classifier import Classifier
from predictor.batching.tokenising import TokenisingThread
from predictor.loading import LoadedModel
from predictor.metrics import Metrics
from predictor.service import PredictorService
from predictor.settings import Settings
from serving import tracing
from serving.assembly import Site
from serving.assembly import serve as run
from serving.openapi import Described
from serving.schema import RequestSchema
from serving.throttling import Throttling

if TYPE_CHECKING:
    from predictor.traced import Traced

log = logging.getLogger("predictor")

_ANSWER_HEADERS = {
    "x-model-version": {"schema": {"type": "string"}, "required": True},
    "x-request-id": {"schema": {"type": "string"}},
    "x-truncated": {"schema": {"type": "integer"}, "description": "Texts cut at the model's limit, if any."},
    "server-timing": {"schema": {"type": "string"}},
}


def serve(settings: Settings, loaded: LoadedModel) -> None:
    """Serve ``loaded`` until a signal stops it; requests in progress are finished."""
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
    tracing_ = tracing.start(os.environ, service=f"{args.model_name}-predictor")
    traced = _traced(tracing_)
    classifier = (traced.classifier if traced else Classifier)(
        tokenising=tokenising,
        batcher=batcher,
        max_length_tokens=loaded.max_length_tokens,
        metrics=metrics,
        scores_are=loaded.checkpoint.config.scores_are,
    )
    service = PredictorService(
        name=args.model_name,
        loaded=loaded,
        classifier=classifier,
        schema=RequestSchema(max_texts=settings.max_texts, max_text_chars=settings.max_text_chars),
        deadline_s=settings.deadline_s,
    )
    metrics.threads.set(loaded.engine.threads)
    metrics.model_info.labels(loaded.version, loaded.engine.name, loaded.engine.precision).set(1)
    batcher.start()
    tokenising.start()
    described = Described(
        title="Sentiment predictor",
        description="Sentiment of texts, computed by one model.",
        version=service.version,
        headers=_ANSWER_HEADERS,
        failures=(500, 503, 504),
    )
    run(service, Site(described=described), settings, counts=metrics, traced=traced)
    classifier.close()
    if tracing_:
        tracing_.close()
    log.info("stopped")


def _traced(tracing_: tracing.Tracing | None) -> "Traced | None":
    if tracing_ is None:
        return None
    from predictor.traced import Traced  # noqa: PLC0415 - loads OpenTelemetry

    return Traced(tracer=tracing_.tracer)
