"""The composition root: builds the parts, wires them, starts the SDK's server."""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import uvloop
from kserve.model_server import ModelServer, app, args
from prometheus_client import REGISTRY

from predictor.artifact import Checkpoint, content_digest, find_checkpoint, model_version
from predictor.batching import Batcher
from predictor.classifier import Classifier
from predictor.engine import Engine
from predictor.grpc_server import GrpcServer
from predictor.hot_path import HotPath
from predictor.metrics import Metrics
from predictor.model import SentimentModel
from predictor.requests import Limits
from predictor.sdk_routes import add_error_handlers, add_routes
from predictor.service import ServedModel
from predictor.settings import Settings
from predictor.tokenising import TokenisingThread
from predictor.tokenizer import TextTokenizer

log = logging.getLogger("predictor")

_GRACE_S = 30
_WARM_UP_TEXT_TOKENS = 32


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """What was read from the checkpoint, warm, and its speed."""

    checkpoint: Checkpoint
    engine: Engine
    tokenizer: TextTokenizer
    version: str
    max_length_tokens: int
    tokens_per_s: float


class _Server(ModelServer):
    """The SDK's server on uvloop and httptools, with the hot path in front and our errors throughout."""

    def __init__(self, *, hot_path: HotPath, **options: Any) -> None:
        super().__init__(grace_period=_GRACE_S, enable_latency_logging=False, enable_grpc=False, **options)
        self._hot_path = hot_path

    def serve_grpc(self, *, port: int, served: ServedModel, metrics: Metrics) -> None:
        """Add our gRPC server to what is started and stopped together."""
        self._grpc_server = GrpcServer(
            port=port, data_plane=self.dataplane, served=served, metrics=metrics, grace_s=_GRACE_S
        )
        self.servers.append(self._grpc_server.start())

    def setup_event_loop(self) -> None:
        """Leave the loop to asyncio.run: the SDK prepares one here that nothing runs on."""

    async def _serve(self) -> None:
        rest = self._rest_server
        config = rest.config
        config.app, config.http, config.access_log, config.server_header = self._hot_path, "httptools", False, False
        # The SDK's timing middleware matches every route a second time, for a log line.
        rest._add_middlewares = lambda _: None  # noqa: SLF001
        rest._add_exception_handlers = add_error_handlers  # noqa: SLF001
        await super()._serve()


def serve(settings: Settings, *, threads: int) -> None:
    """Load, warm up, then open the port; returns after a clean shutdown.

    Args:
        settings: from the environment.
        threads: CPU threads of the engine.

    Raises:
        CheckpointError: the model directory cannot be served.
        EngineUnavailableError: this machine lacks what the settings ask for.
    """
    started_s = time.perf_counter()
    loaded = _load(settings, threads)
    metrics = Metrics(registry=REGISTRY)
    batcher = Batcher(
        engine=loaded.engine,
        max_batch_tokens=settings.max_batch_tokens,
        max_queue_tokens=settings.max_queue_tokens,
        tokens_per_s=loaded.tokens_per_s,
        metrics=metrics,
    )
    tokenising = TokenisingThread(tokenizer=loaded.tokenizer, on_tokenised=batcher.put)
    classifier = Classifier(
        tokenising=tokenising, batcher=batcher, max_length_tokens=loaded.max_length_tokens, metrics=metrics
    )
    served = _served(settings, loaded, classifier)
    metrics.threads.set(loaded.engine.threads)
    metrics.model_info.labels(served.version, served.engine, served.precision).set(1)
    batcher.start()
    tokenising.start()
    log.info(
        "loaded",
        extra={
            "model_dir": str(settings.model_dir),
            "version": served.version,
            "arithmetic": served.arithmetic,
            "threads": served.threads,
            "tokens_per_s": round(loaded.tokens_per_s),
            "load_s": round(time.perf_counter() - started_s, 3),
        },
    )
    _run(served, metrics)
    classifier.close()
    log.info("stopped")


def _run(served: ServedModel, metrics: Metrics) -> None:
    add_routes(app, model=served)
    # The SDK starts its loop with asyncio.run and would ignore --event-loop.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    server = _Server(hot_path=HotPath(app=app, model=served, metrics=metrics), workers=1)
    if args.enable_grpc:
        server.serve_grpc(port=args.grpc_port, served=served, metrics=metrics)
    server.start([SentimentModel(served=served)])


def _load(settings: Settings, threads: int) -> _Loaded:
    checkpoint = find_checkpoint(settings.model_dir)
    max_length_tokens = min(settings.max_length_tokens, checkpoint.config.positions)
    tokenizer = TextTokenizer(checkpoint, max_length_tokens=max_length_tokens)
    with ThreadPoolExecutor(max_workers=1) as pool:
        # Hashing 250 MB takes as long as compiling them; both run outside the interpreter's lock.
        digest = pool.submit(content_digest, checkpoint)
        engine = _engine(settings, checkpoint, threads)
        tokens_per_s = _warm_up(engine, settings.max_batch_tokens, checkpoint.config.vocab_size)
        version = model_version(digest.result(), max_length_tokens=max_length_tokens, arithmetic=engine.arithmetic)
    return _Loaded(
        checkpoint=checkpoint,
        engine=engine,
        tokenizer=tokenizer,
        version=version,
        max_length_tokens=max_length_tokens,
        tokens_per_s=tokens_per_s,
    )


def _engine(settings: Settings, checkpoint: Checkpoint, threads: int) -> Engine:
    # Either library is large: only the one that is used gets loaded.
    if settings.engine == "torch":
        from predictor.torch_engine import TorchEngine  # noqa: PLC0415

        return TorchEngine(checkpoint=checkpoint, precision=settings.precision, threads=threads)
    from predictor.openvino_engine import OpenVinoEngine  # noqa: PLC0415

    return OpenVinoEngine(
        checkpoint=checkpoint, precision=settings.precision, threads=threads, cache_dir=settings.compile_cache_dir
    )


def _warm_up(engine: Engine, batch_tokens: int, vocab_size: int) -> float:
    """Run the first forwards, which are slow and take the memory that all later ones use; give tokens per second."""
    ids = np.random.default_rng(0).integers(0, vocab_size, _WARM_UP_TEXT_TOKENS, dtype=np.int32)
    texts = max(1, batch_tokens // _WARM_UP_TEXT_TOKENS)
    engine.forward([ids])
    engine.forward([ids] * texts)
    started_s = time.perf_counter()
    engine.forward([ids] * texts)
    return texts * _WARM_UP_TEXT_TOKENS / (time.perf_counter() - started_s)


def _served(settings: Settings, loaded: _Loaded, classifier: Classifier) -> ServedModel:
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
