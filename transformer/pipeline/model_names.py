"""Checks what a predictor or a record in Redis says of a model: its version, its labels, its kind of scores."""

from typing import get_args

from serving.scores import ScoresAre

_SCORES_ARE: tuple[ScoresAre, ...] = get_args(ScoresAre)


def model_labels(labels: object) -> list[str]:
    """Return ``labels`` if they are names of classes.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(labels, list) or not labels or not all(isinstance(label, str) and label for label in labels):
        raise ValueError("labels are not names")
    return labels


def model_version(version: object) -> str:
    """Return ``version`` if it is a token fit for cache keys and a header.

    Raises:
        ValueError: it is not 1 to 64 letters and digits.
    """
    if not isinstance(version, str) or not version.isascii() or not version.isalnum() or len(version) > 64:
        raise ValueError("the version is not a token")
    return version


def model_scores_are(scores_are: object) -> ScoresAre:
    """Return ``scores_are`` if it is a known kind.

    Raises:
        ValueError: it is not.
    """
    for known in _SCORES_ARE:
        if scores_are == known:
            return known
    raise ValueError("the kind of the scores is unknown")
