"""Turns logits into scores, as transformers' text classification does for each kind of head."""

import numpy as np
from numpy.typing import NDArray

from predictor.engine.base import Logits
from serving.scores import ScoresAre

Scores = NDArray[np.float32]


def scores_of(logits: Logits, scores_are: ScoresAre) -> Scores:
    """Turn logits [texts, labels] into scores of the same shape, float32."""
    if scores_are == "softmax":
        return softmax(logits)
    return sigmoid(logits) if scores_are == "sigmoid" else np.asarray(logits, dtype=np.float32)


def softmax(logits: Logits) -> Scores:
    """Give one probability distribution per text: each row sums to 1."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float32)
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


def sigmoid(logits: Logits) -> Scores:
    """Give a probability per label, each on its own."""
    # exp of a large number is infinite, and the score 0, as it should be.
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-logits, dtype=np.float32)), dtype=np.float32)
