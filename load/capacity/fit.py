"""Fits costs to observed CPU time: least squares whose coefficients must not be negative."""

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def fit_costs(rows: Sequence[Sequence[float]], seconds: Sequence[float]) -> NDArray[np.float64]:
    """Give the costs per unit, each at least 0, that best explain ``seconds`` by counts in ``rows``.

    ``rows`` is (observations, units), ``seconds`` (observations,); errors count relative to the observation, so that
    short and long phases weigh alike. Every subset of the few units is tried and the best feasible one taken.

    Raises:
        ValueError: fewer observations than units, or an observation without time.
    """
    counts = np.asarray(rows, dtype=np.float64)
    observed = np.asarray(seconds, dtype=np.float64)
    if counts.shape[0] < counts.shape[1] or np.any(observed <= 0):
        raise ValueError("a fit needs as many observations as costs, each with time used")
    scaled = counts / observed[:, None]
    units = counts.shape[1]
    best, smallest = np.zeros(units), np.inf
    for size in range(1, units + 1):
        for chosen in itertools.combinations(range(units), size):
            part, *_ = np.linalg.lstsq(scaled[:, chosen], np.ones(len(observed)), rcond=None)
            error = float(np.sum((scaled[:, chosen] @ part - 1) ** 2))
            if np.all(part >= 0) and error < smallest:
                smallest, best = error, np.zeros(units)
                best[list(chosen)] = part
    return best
