"""How good scores are against labels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
_LEAST = 1e-12


@dataclass(frozen=True)
class Bin:
    """Texts whose best score lies between low and high: how many, how sure, how often right."""

    low: float
    high: float
    texts: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Quality:
    """What a set of labelled texts says about a model.

    Attributes:
        texts: how many.
        accuracy: share of texts whose best label is the true one, 0 to 1.
        nll: mean negative natural logarithm of the true label's score.
        brier: mean squared distance of scores and truth, 0 to 2.
        ece: expected calibration error over ten equal bins of confidence, 0 to 1.
        confusion: texts by true label (rows) and best label (columns).
        reliability: the ten bins.
    """

    texts: int
    accuracy: float
    nll: float
    brier: float
    ece: float
    confusion: list[list[int]]
    reliability: list[Bin]


def assess(scores: NDArray[np.float32], labels: NDArray[np.int64]) -> Quality:
    """Judge scores.

    Args:
        scores: (texts, labels), rows sum to 1.
        labels: (texts,) true indices.

    Raises:
        ValueError: shapes do not fit, or there are no texts.
    """
    if scores.ndim != 2 or scores.shape[0] != labels.shape[0] or not len(labels):
        raise ValueError(f"Scores of shape {scores.shape} do not fit {labels.shape} labels.")
    exact = scores.astype(np.float64)
    best = exact.argmax(axis=1)
    right = best == labels
    confusion = np.zeros((scores.shape[1], scores.shape[1]), dtype=np.int64)
    np.add.at(confusion, (labels, best), 1)
    bins = _reliability(exact.max(axis=1), right)
    return Quality(
        texts=len(labels),
        accuracy=float(right.mean()),
        nll=float(-np.log(np.maximum(exact[np.arange(len(labels)), labels], _LEAST)).mean()),
        brier=float(((exact - np.eye(exact.shape[1])[labels]) ** 2).sum(axis=1).mean()),
        ece=sum(each.texts * abs(each.accuracy - each.confidence) for each in bins) / len(labels),
        confusion=confusion.tolist(),
        reliability=bins,
    )


def _reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Bin]:
    index = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    found = []
    for each in range(BINS):
        inside = index == each
        count = int(inside.sum())
        found.append(
            Bin(
                low=each / BINS,
                high=(each + 1) / BINS,
                texts=count,
                confidence=float(confidence[inside].mean()) if count else 0.0,
                accuracy=float(right[inside].mean()) if count else 0.0,
            )
        )
    return found
