"""Reads what the predictor answers; whatever a predictor would not say is nonsense, with one error for all of it."""

from collections.abc import Sequence
from typing import Any

import orjson

from serving.scores import ScoresAre
from transformer.errors import PredictorNonsenseError
from transformer.pipeline.model_names import model_labels, model_scores_are, model_version
from transformer.pipeline.ports import Scored


def read_scored(body: bytes, *, texts: int) -> Scored:
    """Read the answer to an inference of so many texts.

    Raises:
        PredictorNonsenseError: it is none.
    """
    try:
        said = orjson.loads(body)
        labels = model_labels(orjson.loads(said["parameters"]["labels"]))
        truncated = frozenset(orjson.loads(said["parameters"].get("truncated", "[]")))
        outputs: dict[str, dict[str, Any]] = {output["name"]: output for output in said["outputs"]}
        flat = outputs["scores"]["data"]
        width = len(labels)
        if len(flat) != texts * width or not truncated <= set(range(texts)):
            raise PredictorNonsenseError
        rows = [flat[i : i + width] for i in range(0, len(flat), width)]
        return Scored(
            version=model_version(said["model_version"]),
            labels=labels,
            scores=rows,
            truncated=truncated,
            scores_are=_scores_are(said["parameters"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise PredictorNonsenseError from None


def read_metadata(body: bytes) -> tuple[str, list[str], ScoresAre]:
    """Read the model's metadata: its version, its labels and its kind of scores.

    Raises:
        PredictorNonsenseError: it is none.
    """
    try:
        said = orjson.loads(body)
        about = said["properties"]
        labels = model_labels(orjson.loads(about["labels"]))
        return model_version(said["versions"][0]), labels, _scores_are(about)
    except (ValueError, KeyError, IndexError, TypeError):
        raise PredictorNonsenseError from None


def merge(parts: Sequence[Scored], size: int) -> Scored:
    """Join the answers of one version to parts of a request, each of ``size`` texts but for the last."""
    return Scored(
        version=parts[0].version,
        labels=parts[0].labels,
        scores_are=parts[0].scores_are,
        scores=[row for part in parts for row in part.scores],
        truncated=frozenset(n * size + i for n, part in enumerate(parts) for i in part.truncated),
    )


def _scores_are(said: dict[str, Any]) -> ScoresAre:
    # An older predictor does not say: it knows one kind.
    return model_scores_are(said.get("scores_are", "softmax"))
