"""Sets the scores of one model at several precisions side by side."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quality.scores import assess

REFERENCE = "f32"


@dataclass(frozen=True)
class Comparison:
    """What a precision costs on one set of texts.

    Attributes:
        name: of the set.
        texts: how many.
        accuracy: by precision, 0 to 1.
        largest: largest distance of any score from f32's, by precision, 0 to 1.
        mean: mean distance of the scores from f32's, by precision, 0 to 1.
        flipped: texts whose best label differs from f32's, by precision.
    """

    name: str
    texts: int
    accuracy: dict[str, float]
    largest: dict[str, float]
    mean: dict[str, float]
    flipped: dict[str, int]

    def table(self) -> str:
        """Lay the comparison out for reading."""
        lines = [f"{self.name}, {self.texts} texts", "precision  accuracy  max |dscore|  mean |dscore|  labels changed"]
        for precision, accuracy in self.accuracy.items():
            lines.append(
                f"{precision:9}{accuracy:10.2%}{self.largest[precision]:14.4f}{self.mean[precision]:15.5f}"
                f"{self.flipped[precision]:16}"
            )
        return "\n".join(lines)


def compare(name: str, scores: dict[str, NDArray[np.float32]], labels: NDArray[np.int64]) -> Comparison:
    """Compare scores, (texts, labels) by precision, with those of f32."""
    reference = scores[REFERENCE]
    distances = {precision: np.abs(each - reference) for precision, each in scores.items()}
    best = reference.argmax(axis=1)
    return Comparison(
        name=name,
        texts=len(labels),
        accuracy={precision: assess(each, labels).accuracy for precision, each in scores.items()},
        largest={precision: float(distance.max()) for precision, distance in distances.items()},
        mean={precision: float(distance.mean()) for precision, distance in distances.items()},
        flipped={precision: int((each.argmax(axis=1) != best).sum()) for precision, each in scores.items()},
    )
