"""Scores texts exactly as the predictor would: its tokenizer, its engine, its precision."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from predictor.loading import LoadedModel, load
from predictor.settings import Settings
from serving.cpu import available_cpus

EngineName = Literal["openvino", "torch"]
PrecisionName = Literal["auto", "f32", "bf16"]
_TEXTS_PER_CALL = 256


def load_served(model: Path, *, engine: EngineName = "openvino", precision: PrecisionName = "auto") -> LoadedModel:
    """Load a checkpoint directory with all CPUs of this container.

    Raises:
        CheckpointError: the directory cannot be served.
        EngineUnavailableError: this machine lacks what is asked for.
    """
    settings = Settings(model_dir=model, engine=engine, precision=precision)
    return load(settings, threads=available_cpus())


def check_labels(model: LoadedModel, labels: tuple[str, ...]) -> None:
    """See that a model and labelled texts speak of the same classes in the same order.

    Raises:
        ValueError: they do not.
    """
    known = model.checkpoint.config.labels
    if known != labels:
        raise ValueError(f"{model.checkpoint.directory} has labels {known}, the data has {labels}.")


def token_ids(model: LoadedModel, texts: list[str]) -> list[NDArray[np.int32]]:
    """Tokenise as the predictor does, cut at the model's longest input."""
    return [encoded.ids for encoded in model.tokenizer.encode(texts)]


def score(model: LoadedModel, texts: list[str]) -> NDArray[np.float32]:
    """Score texts.

    Returns:
        (texts, labels) float32, rows sum to 1, columns in class-index order.
    """
    ids = token_ids(model, texts)
    # Neighbours of like length waste no padding; the answers do not depend on them.
    order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
    scores = np.zeros((len(ids), len(model.checkpoint.config.labels)), dtype=np.float32)
    for start in range(0, len(order), _TEXTS_PER_CALL):
        chosen = order[start : start + _TEXTS_PER_CALL]
        for group in model.engine.divide([len(ids[index]) for index in chosen]):
            rows = [chosen[position] for position in group]
            scores[rows] = _softmax(model.engine.forward([ids[index] for index in rows]))
    return scores


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores: NDArray[np.float32] = exponents / exponents.sum(axis=1, keepdims=True)
    return scores
