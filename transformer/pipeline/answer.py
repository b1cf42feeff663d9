"""One text's answer: as stored in the cache, and as JSON.

Stored value: one byte of layout (1: the whole text was read, 2: the text was cut at the model's limit), then a
little-endian float32 score per label in class order. Anything else is not an answer; ``scores_are`` says which scores a
model can give.
"""

import math
import struct
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import orjson

from serving.scores import ScoresAre

_WHOLE, _CUT = 1, 2
_SUM_TOLERANCE = 1e-3
SCORE_BOUNDS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Upper bounds of the bins in which best scores are counted; a last bin takes the rest."""
SCORE_BINS = len(SCORE_BOUNDS) + 1


class Answer(NamedTuple):
    """One text's answer under one model version.

    Attributes:
        value: the stored form, ``1 + 4 * labels`` bytes.
        json: the list of labels and scores, best first, as JSON.
        truncated: whether the model read only the start of the text.
        bin: where the best label and its score are counted, ``label * SCORE_BINS + bin of the score``. Kept with the
            answer because finding it costs more than everything else that is counted for a hit.
    """

    value: bytes
    json: bytes
    truncated: bool
    bin: int

    def scores(self) -> tuple[float, ...]:
        """Give the scores in class order."""
        return struct.unpack(f"<{len(self.value) // 4}f", self.value[1:])


class Model:
    """A model version with its labels; makes and reads answers.

    Args:
        version: the digest that names the model.
        labels: label names in class order, at least one.
        prefix: what the cache keys of this version start with.
        tally: counts the answers given, by `Answer.bin`; a new list if None.
        scores_are: a distribution, whose scores sum to 1; a probability for each label; or any finite numbers.
        sealed: whether stored values prove that `answer` made them: the scores in them are not checked again then,
            which takes as long as the proof.
    """

    def __init__(
        self,
        *,
        version: str,
        labels: Sequence[str],
        prefix: bytes,
        tally: list[int] | None = None,
        scores_are: ScoresAre = "softmax",
        sealed: bool = False,
    ) -> None:
        self.version = version
        self.version_header = version.encode("latin-1", "replace")
        self.labels = tuple(labels)
        self.prefix = prefix
        self.tally = [0] * (SCORE_BINS * len(self.labels)) if tally is None else tally
        self.scores_are = scores_are
        self._sound = _SOUND[scores_are]
        self._sealed = sealed
        self._pack = struct.Struct(f"<{len(self.labels)}f")
        self._openings = [b'{"label":' + orjson.dumps(label) + b',"score":' for label in self.labels]

    def answer(self, scores: Sequence[float], *, truncated: bool) -> Answer:
        """Make an answer of one score per label, in class order.

        Raises:
            ValueError: not scores of this model, or not one per label.
        """
        try:
            value = bytes([_CUT if truncated else _WHOLE]) + self._pack.pack(*scores)
        except (struct.error, OverflowError, TypeError) as error:
            raise ValueError("not one float32 score per label") from error
        rounded = self._pack.unpack_from(value, 1)
        if not self._sound(rounded):
            raise ValueError("not scores of this model")
        return self._answer(value, rounded, _written([value]))

    def read(self, value: bytes) -> Answer | None:
        """Read a stored value; None for anything that is not an answer of this model."""
        return self.read_all([value])[0]

    def read_all(self, values: Sequence[bytes | None]) -> list[Answer | None]:
        """Read stored values; None for None and for anything that is not an answer of this model."""
        scores = [None if value is None else self._scores(value) for value in values]
        written = _written([value for value, its in zip(values, scores, strict=True) if its and value])
        return [
            self._answer(value, its, written) if its and value else None
            for value, its in zip(values, scores, strict=True)
        ]

    def _answer(self, value: bytes, scores: tuple[float, ...], written: Iterator[bytes]) -> Answer:
        return Answer(value, self._json(scores, written), value[0] == _CUT, _bin(scores))

    def _scores(self, value: bytes) -> tuple[float, ...] | None:
        if len(value) != 1 + self._pack.size or value[0] not in (_WHOLE, _CUT):
            return None
        scores = self._pack.unpack_from(value, 1)
        return scores if self._sealed or self._sound(scores) else None

    def _json(self, scores: tuple[float, ...], written: Iterator[bytes]) -> bytes:
        parts = [b"%b%b}" % (opening, next(written)) for opening in self._openings]
        if len(parts) == 2:  # the usual case needs no sorting
            best_first = parts if scores[0] >= scores[1] else parts[::-1]
        else:
            best_first = [parts[i] for i in sorted(range(len(scores)), key=scores.__getitem__, reverse=True)]
        return b"[%b]" % b",".join(best_first)


def _bin(scores: Sequence[float]) -> int:
    best = max(scores)
    return scores.index(best) * SCORE_BINS + bisect_left(SCORE_BOUNDS, best)


def _distribution(scores: Sequence[float]) -> bool:
    # Neither sum nor comparison lets a NaN through.
    return min(scores) >= 0.0 and max(scores) <= 1.0 and abs(sum(scores) - 1.0) <= _SUM_TOLERANCE


def _probabilities(scores: Sequence[float]) -> bool:
    return all(0.0 <= score <= 1.0 for score in scores)


def _numbers(scores: Sequence[float]) -> bool:
    return all(map(math.isfinite, scores))


_SOUND: dict[ScoresAre, Callable[[Sequence[float]], bool]] = {
    "softmax": _distribution,
    "sigmoid": _probabilities,
    "raw": _numbers,
}


def _written(values: Sequence[bytes]) -> Iterator[bytes]:
    """Write the float32 scores of stored values, each with the fewest digits that read back as the same float32."""
    scores = np.frombuffer(b"".join([value[1:] for value in values]), dtype="<f4")
    return iter(orjson.dumps(scores, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b","))
