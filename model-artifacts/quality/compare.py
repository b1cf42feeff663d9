"""Sets the scores of one model at several precisions side by side, and says what may not be served."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REFERENCE = "f32"


@dataclass(frozen=True)
class Comparison:
    """What a precision costs on one set of texts.

    Attributes:
        name: of the set.
        texts: how many.
        accuracy: by precision, 0 to 1; empty where the true labels are not known.
        largest: largest distance of any score from f32's, by precision, 0 to 1.
        mean: mean distance of the scores from f32's, by precision, 0 to 1.
        flipped: texts whose best label differs from f32's, by precision.
        changes: how many texts went from which best label (rows) to which (columns), [labels, labels], by precision.
    """

    name: str
    texts: int
    accuracy: dict[str, float]
    largest: dict[str, float]
    mean: dict[str, float]
    flipped: dict[str, int]
    changes: dict[str, NDArray[np.int64]]

    def table(self) -> str:
        """Lay the comparison out for reading."""
        lines = [f"{self.name}, {self.texts} texts", "precision  accuracy  max |dscore|  mean |dscore|  labels changed"]
        for precision, largest in self.largest.items():
            accuracy = f"{self.accuracy[precision]:.2%}" if self.accuracy else "unknown"
            lines.append(
                f"{precision:9}{accuracy:>10}{largest:14.4f}{self.mean[precision]:15.5f}{self.flipped[precision]:16}"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Gate:
    """What int8 may cost.

    Attributes:
        points: of accuracy, where the true labels are known.
        flips: share of texts whose best label changes, 0 to 1.
        change: mean distance of scores from f32's; all there is to go by where a model has one score.
    """

    points: float
    flips: float
    change: float

    def refusals(self, found: Comparison) -> list[str]:
        """Give a sentence for each limit that int8 breaks."""
        said = []
        if found.accuracy:
            fall = 100 * (found.accuracy[REFERENCE] - found.accuracy["int8"])
            if fall > self.points:
                said.append(f"accuracy on {found.name} falls by {fall:.2f} points, {self.points:g} are tolerated")
        share = found.flipped["int8"] / found.texts
        if share > self.flips:
            said.append(f"the label of {share:.2%} of {found.name} changes, {self.flips:.2%} are tolerated")
        if found.mean["int8"] > self.change:
            said.append(f"scores on {found.name} change by {found.mean['int8']:.4f}, {self.change:g} is tolerated")
        return said


def compare(name: str, scores: dict[str, NDArray[np.float32]], labels: NDArray[np.int64] | None) -> Comparison:
    """Compare scores, [texts, labels] by precision, with those of f32; ``labels`` are the true ones, if known."""
    reference = scores[REFERENCE]
    distances = {precision: np.abs(each - reference) for precision, each in scores.items()}
    changes = {precision: _changes(reference, each) for precision, each in scores.items()}
    accuracy = (
        {} if labels is None else {p: float((each.argmax(axis=1) == labels).mean()) for p, each in scores.items()}
    )
    return Comparison(
        name=name,
        texts=len(reference),
        accuracy=accuracy,
        largest={precision: float(distance.max()) for precision, distance in distances.items()},
        mean={precision: float(distance.mean()) for precision, distance in distances.items()},
        flipped={precision: int(each.sum()) for precision, each in changes.items()},
        changes=changes,
    )


def _changes(reference: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.int64]:
    found = np.zeros((reference.shape[1], reference.shape[1]), dtype=np.int64)
    np.add.at(found, (reference.argmax(axis=1), scores.argmax(axis=1)), 1)
    np.fill_diagonal(found, 0)
    return found
