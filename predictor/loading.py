"""Loads the checkpoint and warms the engine up, before any port opens."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from predictor.checkpoint.artifact import Checkpoint, content_digest, find_checkpoint, model_version
from predictor.checkpoint.tokenizer import TextTokenizer
from predictor.engine.base import Engine
from predictor.engine.int8 import int8_instructions
from predictor.errors import CheckpointError
from predictor.settings import Settings

log = logging.getLogger("predictor")

_WARM_UP_TEXT_TOKENS = 32


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A loaded checkpoint: its parts, its version, and the speed of a full batch."""

    checkpoint: Checkpoint
    engine: Engine
    tokenizer: TextTokenizer
    version: str
    max_length_tokens: int
    tokens_per_s: float


def load(settings: Settings, *, threads: int) -> LoadedModel:
    """Verify, load and warm up.

    Args:
        settings: which checkpoint, engine, precision and maximum length.
        threads: CPU threads of the engine.

    Raises:
        CheckpointError: the model directory cannot be served.
        EngineUnavailableError: this machine lacks what the settings ask for.
    """
    started_s = time.perf_counter()
    checkpoint = find_checkpoint(settings.model_dir)
    max_length_tokens = min(settings.max_length_tokens, checkpoint.longest_tokens)
    tokenizer = TextTokenizer(checkpoint, max_length_tokens=max_length_tokens)
    with ThreadPoolExecutor(max_workers=1) as pool:
        # Hashing the weights takes as long as compiling them; both run outside the interpreter's lock.
        digest = pool.submit(content_digest, checkpoint)
        engine = _engine(settings, checkpoint, threads)
        tokens_per_s = _warm_up(checkpoint, engine, tokenizer, settings.max_batch_tokens)
        version = model_version(
            digest.result(),
            max_length_tokens=max_length_tokens,
            arithmetic=engine.arithmetic,
            scores_are=checkpoint.config.scores_are,
        )
    if checkpoint.quantised and int8_instructions() is None:
        log.warning("this CPU has neither VNNI nor AMX: int8 saves memory here, not time")
    log.info(
        "loaded",
        extra={
            "model_dir": str(settings.model_dir),
            "version": version,
            "arithmetic": engine.arithmetic,
            "threads": engine.threads,
            "tokens_per_s": round(tokens_per_s),
            "load_s": round(time.perf_counter() - started_s, 3),
        },
    )
    return LoadedModel(
        checkpoint=checkpoint,
        engine=engine,
        tokenizer=tokenizer,
        version=version,
        max_length_tokens=max_length_tokens,
        tokens_per_s=tokens_per_s,
    )


def _engine(settings: Settings, checkpoint: Checkpoint, threads: int) -> Engine:
    # Both libraries are large: only the one in use is loaded.
    if settings.engine == "torch":
        from predictor.engine.torch_engine import TorchEngine  # noqa: PLC0415

        return TorchEngine(checkpoint=checkpoint, precision=settings.precision, threads=threads)
    from predictor.engine.openvino_engine import OpenVinoEngine  # noqa: PLC0415

    return OpenVinoEngine(
        checkpoint=checkpoint, precision=settings.precision, threads=threads, cache_dir=settings.compile_cache_dir
    )


def _warm_up(checkpoint: Checkpoint, engine: Engine, tokenizer: TextTokenizer, batch_tokens: int) -> float:
    """Run what is slow the first time and allocates memory for good; give tokens per second of a full batch.

    Raises:
        CheckpointError: the outputs are not finite.
    """
    length = min(_WARM_UP_TEXT_TOKENS, checkpoint.config.longest_tokens)
    ids = np.random.default_rng(0).integers(0, checkpoint.config.vocab_size, length, dtype=np.int32)
    words = tokenizer.encode(["warm up"])[0].ids
    if not np.isfinite(engine.forward([words])).all():
        raise CheckpointError(f"{checkpoint.graph_file} gives no finite scores for a short text: it is damaged")
    engine.forward([ids])
    texts = max(1, batch_tokens // length)
    started_s = time.perf_counter()
    logits = engine.forward([ids] * texts)
    tokens_per_s = texts * length / (time.perf_counter() - started_s)
    if not np.isfinite(logits).all():
        raise CheckpointError(f"{checkpoint.graph_file} gives no finite scores for random words: it is damaged")
    return tokens_per_s
