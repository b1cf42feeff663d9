"""Token ids, targets and the texts made up from them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.rows import LABELS, Row, join_contractions
from training.vocabulary import CLS, MASK, SEP, SPECIAL_TOKENS

Ids = NDArray[np.int64]
Labels = NDArray[np.int64]
Scores = NDArray[np.float32]


@dataclass(frozen=True)
class Corpus:
    """Texts as token ids with their targets.

    Attributes:
        ids: one array of token ids a text, [CLS] and [SEP] included.
        targets: (texts, labels) float32, rows sum to 1.
    """

    ids: list[Ids]
    targets: Scores

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: "Corpus") -> "Corpus":
        return Corpus(self.ids + other.ids, np.concatenate([self.targets, other.targets]))


@dataclass(frozen=True)
class TwoForms:
    """The same texts as the corpus writes them ("do n't") and as people do ("don't"), as token ids."""

    as_written: list[Ids]
    as_typed: list[Ids]

    def draw(self, targets: Scores, rng: np.random.Generator) -> Corpus:
        """Take each text in one of its forms, by chance."""
        typed = rng.random(len(self.as_typed)) < 0.5
        pairs = zip(self.as_written, self.as_typed, typed, strict=True)
        return Corpus([b if chosen else a for a, b, chosen in pairs], targets)


def two_forms(tokenizer: Tokenizer, rows: list[Row]) -> TwoForms:
    """Tokenise rows in both forms."""
    written = encode(tokenizer, [row.text for row in rows])
    return TwoForms(written, encode(tokenizer, [join_contractions(row.text) for row in rows]))


def encode(tokenizer: Tokenizer, texts: list[str]) -> list[Ids]:
    """Tokenise texts."""
    return [np.array(encoding.ids, dtype=np.int64) for encoding in tokenizer.encode_batch(texts)]


def smoothed(labels: Labels, smoothing: float) -> Scores:
    """Spread a share of each label's certainty evenly: (texts,) int64 to (texts, labels) float32."""
    return np.eye(len(LABELS), dtype=np.float32)[labels] * (1 - smoothing) + np.float32(smoothing / len(LABELS))


class Composer:
    """Makes up unlabelled texts for teachers to judge, and long labelled ones.

    Args:
        tokenizer: the vocabulary.
        rows: the training rows.
        longest_tokens: what the model reads.
        rng: the only source of chance.
    """

    def __init__(self, *, tokenizer: Tokenizer, rows: list[Row], longest_tokens: int, rng: np.random.Generator) -> None:
        self._rng = rng
        self._longest_tokens = longest_tokens
        joined = tokenizer.encode_batch([join_contractions(row.text) for row in rows])
        self._words = [_words(encoding.ids, encoding.word_ids) for encoding in joined]
        self._by_label = [np.flatnonzero([row.label == label for row in rows]) for label in range(len(LABELS))]
        self._long_rows = np.array([index for index, words in enumerate(self._words) if len(words) > 5] or [0])
        self._lexicon = [word for words in self._words for word in words]

    def invent(self, count: int) -> list[Ids]:
        """Make up texts: spans of training texts, one or two of them, some words masked or replaced."""
        return [self._invent() for _ in range(count)]

    def _invent(self) -> Ids:
        rng = self._rng
        words: list[Ids] = []
        for _ in range(1 + (rng.random() < 0.3)):
            source = self._words[rng.choice(self._long_rows)]
            length = int(rng.integers(1, len(source) + 1))
            start = int(rng.integers(0, len(source) - length + 1))
            words += source[start : start + length]
        return _close(np.concatenate([self._alter(word) for word in words]), self._longest_tokens)

    def _alter(self, word: Ids) -> Ids:
        chance = self._rng.random()
        if chance < 0.08:
            return np.array([MASK], dtype=np.int64)
        if chance < 0.20:
            return self._lexicon[self._rng.integers(len(self._lexicon))]
        return word

    def lengthen(self, count: int, shortest_tokens: int) -> Corpus:
        """Make up long texts: rows of one polarity in sequence, so that every position is trained."""
        ids, labels = [], []
        for _ in range(count):
            label = int(self._rng.integers(len(LABELS)))
            length = int(self._rng.integers(shortest_tokens, self._longest_tokens + 1))
            parts: list[Ids] = []
            while sum(map(len, parts)) < length - 2:
                parts += self._words[self._rng.choice(self._by_label[label])]
            ids.append(_close(np.concatenate(parts), length))
            labels.append(label)
        return Corpus(ids, smoothed(np.array(labels, dtype=np.int64), 0.1))


def _words(ids: list[int], word_ids: list[int | None]) -> list[Ids]:
    """Group the pieces of each word; special tokens are left out."""
    groups: dict[int, list[int]] = {}
    for token, word in zip(ids, word_ids, strict=True):
        if word is not None and token >= len(SPECIAL_TOKENS):
            groups.setdefault(word, []).append(token)
    return [np.array(group, dtype=np.int64) for group in groups.values()] or [np.array([MASK], dtype=np.int64)]


def _close(ids: Ids, longest_tokens: int) -> Ids:
    """Cut to what fits and add [CLS] and [SEP]."""
    return np.concatenate([[CLS], ids[: longest_tokens - 2], [SEP]]).astype(np.int64)
