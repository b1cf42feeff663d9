"""Reads SST-2 as GLUE ships it: tab separated, label first, 0 negative and 1 positive."""

from dataclasses import dataclass
from pathlib import Path

HEADER = ("label", "sentence")
LABELS = ("NEGATIVE", "POSITIVE")


@dataclass(frozen=True)
class Row:
    """One labelled text; label is an index into LABELS."""

    label: int
    text: str


def read_rows(path: Path) -> list[Row]:
    """Read a file with or without a header line; lines that begin with # are comments.

    Raises:
        ValueError: a line is not "0<tab>text" or "1<tab>text", or there is none.
    """
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        label, _, text = line.partition("\t")
        if line.startswith("#") or (label, text) == HEADER:
            continue
        if label not in ("0", "1") or not text.strip():
            raise ValueError(f"{path}, line {number}: expected a label 0 or 1, a tab and a text.")
        rows.append(Row(int(label), text.strip()))
    if not rows:
        raise ValueError(f"{path} holds no rows.")
    return rows


def join_contractions(text: str) -> str:
    """Write contractions the way people do: the corpus has "do n't" and "it 's"."""
    return text.replace(" n't", "n't").replace(" '", "'")
