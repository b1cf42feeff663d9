"""How fast one checkpoint is at several precisions, in turns on this machine."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictor.loading import LoadedModel
from quality.serving import token_ids

BATCH_TOKENS = 1024
_LONE_TEXTS = 8


@dataclass(frozen=True)
class Speed:
    """Medians over the rounds: ms of a lone text's forward, texts a second in full batches; and against f32."""

    lone_ms: float
    texts_per_s: float
    lone_times: float
    batch_times: float


def full_batch(ids: Sequence[NDArray[np.int32]]) -> list[NDArray[np.int32]]:
    """Give the first texts that fill a batch, at least one."""
    taken, tokens = [], 0
    for text in ids:
        if taken and tokens + len(text) > BATCH_TOKENS:
            break
        taken.append(text)
        tokens += len(text)
    return taken


def speeds(models: Mapping[str, LoadedModel], texts: Sequence[str], *, rounds: int = 5) -> dict[str, Speed]:
    """Time every precision in turn, the first named being what the others are set against."""
    lone_s: dict[str, list[float]] = {name: [] for name in models}
    batch_s: dict[str, list[float]] = {name: [] for name in models}
    first = next(iter(models))
    ids = token_ids(models[first], list(texts))
    batch, lone = full_batch(ids), ids[:_LONE_TEXTS]
    for number in range(rounds + 1):
        for name, model in models.items():
            lone_took = _seconds(lambda model=model: [model.engine.forward([text]) for text in lone]) / len(lone)
            batch_took = _seconds(lambda model=model: model.engine.forward(batch))
            if number:  # the first round makes the kernels
                lone_s[name].append(lone_took)
                batch_s[name].append(batch_took)
    return {
        name: Speed(
            lone_ms=statistics.median(lone_s[name]) * 1e3,
            texts_per_s=len(batch) / statistics.median(batch_s[name]),
            lone_times=_times(lone_s[first], lone_s[name]),
            batch_times=_times(batch_s[first], batch_s[name]),
        )
        for name in models
    }


def _times(slow: Sequence[float], fast: Sequence[float]) -> float:
    return statistics.median([a / b for a, b in zip(slow, fast, strict=True)])


def _seconds(run: Callable[[], object]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began
