"""One text's answer: as stored in the cache, and as JSON.

Stored value: one byte of layout (1: the whole text was read, 2: the text was cut at the model's limit), then a
little-endian float32 score per label in class order. Anything else is not an answer.
"""

import math
import struct
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import orjson

_WHOLE, _CUT = 1, 2
_SUM_TOLERANCE = 1e-3


class Answer(NamedTuple):
    """One text's answer under one model version.

    Attributes:
        value: the stored form, ``1 + 4 * labels`` bytes.
        json: the list of labels and scores, best first, as JSON.
        truncated: whether the model read only the start of the text.
    """

    value: bytes
    json: bytes
    truncated: bool

    def scores(self) -> tuple[float, ...]:
        """Give the probabilities in class order."""
        return struct.unpack(f"<{len(self.value) // 4}f", self.value[1:])


class Model:
    """A model version with its labels; makes and reads answers.

    Args:
        version: the digest that names the model.
        labels: label names in class order, at least one.
        prefix: what the cache keys of this version start with.
    """

    def __init__(self, *, version: str, labels: Sequence[str], prefix: bytes) -> None:
        self.version = version
        self.version_header = version.encode("latin-1", "replace")
        self.labels = tuple(labels)
        self.prefix = prefix
        self._pack = struct.Struct(f"<{len(self.labels)}f")
        self._openings = [b'{"label":' + orjson.dumps(label) + b',"score":' for label in self.labels]

    def answer(self, scores: Sequence[float], *, truncated: bool) -> Answer:
        """Make an answer of one probability per label, in class order.

        Raises:
            ValueError: not probabilities, or not one per label.
        """
        try:
            value = bytes([_CUT if truncated else _WHOLE]) + self._pack.pack(*scores)
        except (struct.error, OverflowError, TypeError) as error:
            raise ValueError("not one float32 score per label") from error
        answer = self.read(value)
        if answer is None:
            raise ValueError("not probabilities")
        return answer

    def read(self, value: bytes) -> Answer | None:
        """Read a stored value; None for anything that is not an answer of this model."""
        if len(value) != 1 + self._pack.size or value[0] not in (_WHOLE, _CUT):
            return None
        scores = self._pack.unpack_from(value, 1)
        if not all(0.0 <= score <= 1.0 for score in scores) or not math.isclose(
            math.fsum(scores), 1.0, abs_tol=_SUM_TOLERANCE
        ):
            return None
        ranked = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
        written = _written(value)
        parts = [self._openings[i] + written[i] + b"}" for i in ranked]
        return Answer(value=value, json=b"[" + b",".join(parts) + b"]", truncated=value[0] == _CUT)


def _written(value: bytes) -> list[bytes]:
    """Write the float32 scores of a stored value, each with the fewest digits that read back as the same float32."""
    scores = np.frombuffer(value, dtype="<f4", offset=1)
    return orjson.dumps(scores, option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")
