"""Everything that is read and counted once before any model is fitted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from quality.scores import Quality, assess
from tokenizers import Tokenizer
from torch import nn

from training.corpus import Ids, Labels, Scores, TwoForms, encode, smoothed, two_forms
from training.fitting import Forward, predict
from training.rows import Row, read_rows
from training.vocabulary import learn_vocabulary


@dataclass(frozen=True)
class Material:
    """The data set, tokenised.

    Attributes:
        tokenizer: its vocabulary learnt from the training rows.
        rows: the training rows.
        forms: the training rows as token ids.
        targets: their labels, smoothed, (rows, labels) float32.
        unseen: token ids and labels of "dev" and "test".
    """

    tokenizer: Tokenizer
    rows: list[Row]
    forms: TwoForms
    targets: Scores
    unseen: dict[str, tuple[list[Ids], Labels]]

    @property
    def vocabulary(self) -> int:
        """Number of word pieces."""
        return int(self.tokenizer.get_vocab_size())

    def quality(self, name: str, model: nn.Module, forward: Forward) -> Quality:
        """Judge a model on "dev" or "test"."""
        ids, labels = self.unseen[name]
        return assess(predict(model, forward, ids), labels)

    def dev_report(self, forward: Forward) -> Callable[[nn.Module], str]:
        """Make a function that says in a few words how good a model is on dev."""

        def report(model: nn.Module) -> str:
            quality = self.quality("dev", model, forward)
            return f"dev accuracy {quality.accuracy:.2%}, nll {quality.nll:.3f}"

        return report


def prepare(data: Path, *, vocabulary: int, smoothing: float) -> Material:
    """Read train.tsv, dev.tsv and test.tsv, learn the vocabulary from the first, tokenise all.

    Raises:
        OSError: a file cannot be read.
        ValueError: a line is not a label, a tab and a text.
    """
    rows, dev, test = (read_rows(data / f"{name}.tsv") for name in ("train", "dev", "test"))
    tokenizer = learn_vocabulary([row.text for row in rows], vocabulary)
    unseen = {
        name: (encode(tokenizer, [row.text for row in part]), _labels(part))
        for name, part in (("dev", dev), ("test", test))
    }
    return Material(tokenizer, rows, two_forms(tokenizer, rows), smoothed(_labels(rows), smoothing), unseen)


def _labels(rows: list[Row]) -> Labels:
    return np.array([row.label for row in rows], dtype=np.int64)
