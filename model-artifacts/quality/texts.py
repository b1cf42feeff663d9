"""Reads the texts that a checkpoint is calibrated and judged on: a user's own, labelled or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_HEADERS = ("label\tsentence", "label\ttext", "sentence", "text")


@dataclass(frozen=True)
class Texts:
    """Texts under a name; ``labels`` are their true indices, int64 [texts], or None where nobody said them."""

    name: str
    texts: list[str]
    labels: NDArray[np.int64] | None

    def part(self, rows: NDArray[np.int64]) -> "Texts":
        """Give some of them."""
        labels = None if self.labels is None else self.labels[rows]
        return Texts(self.name, [self.texts[row] for row in rows], labels)


def read_texts(path: Path, names: Sequence[str]) -> Texts:
    """Read a file of one text a line, or of label, tab and text; a label is one of ``names`` or its index.

    Lines that begin with # are comments, a first line of column names is passed over. What the first text shows, a
    label or none, holds for the file.

    Raises:
        ValueError: a line of a labelled file has no label of the model, or there is no text.
    """
    known = {name: index for index, name in enumerate(names)} | {str(index): index for index in range(len(names))}
    texts: list[str] = []
    labels: list[int] = []
    labelled: bool | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith("#") or not line.strip() or (labelled is None and line.strip().lower() in _HEADERS):
            continue
        label, tab, text = line.partition("\t")
        if labelled is None:
            labelled = bool(tab) and label in known
        if labelled:
            if label not in known or not text.strip():
                raise ValueError(f"{path}, line {number}: expected a label of the model, a tab and a text.")
            labels.append(known[label])
        texts.append((text if labelled else line).strip())
    if not texts:
        raise ValueError(f"{path} holds no texts.")
    return Texts(path.name, texts, np.array(labels, dtype=np.int64) if labelled else None)


def split(texts: Texts, count: int, seed: int) -> tuple[Texts, Texts]:
    """Part texts by chance into ``count`` of them, half at most, and the rest.

    Raises:
        ValueError: there are not two.
    """
    if len(texts.texts) < 2:
        raise ValueError(f"{texts.name} holds one text: some have to calibrate and others to judge.")
    order = np.random.default_rng(seed).permutation(len(texts.texts))
    count = min(count, len(order) // 2)
    return texts.part(order[:count]), texts.part(order[count:])


def sample(texts: Texts, count: int, seed: int) -> Texts:
    """Choose texts by chance."""
    return texts.part(np.random.default_rng(seed).permutation(len(texts.texts))[:count])
