"""Writes the model card."""

from dataclasses import dataclass
from pathlib import Path

from quality.scores import Quality

from training.student import StudentPlan

_CARD = """---
language: en
license: apache-2.0
pipeline_tag: text-classification
tags: [sentiment, distilbert, sst2]
metrics: [accuracy]
---

# distilbert-tiny-sst2

A small `DistilBertForSequenceClassification` that classifies a sentence as NEGATIVE or POSITIVE. It is trained from
scratch, without any pre-trained weights, so that a sentiment service can be started, tested and measured on a machine
that cannot reach a model hub. For real work, serve a fine-tuned full-size DistilBERT instead: it makes half as many
errors.

## How good it is

| SST-2 | sentences | accuracy | negative log likelihood | Brier score | expected calibration error |
|---|---|---|---|---|---|
{quality}

Confusion on test (rows true, columns predicted): NEGATIVE {negative}, POSITIVE {positive}. Sampling alone moves the
accuracy on dev by about 1.3 points, on test by about 0.9 (one standard error).

## What it is

{parameters:,} parameters in float32: {layers} layers of width {dim}, {heads} attention heads, feed-forward width
{hidden}, {positions} positions, a lower-cased WordPiece vocabulary of {vocabulary:,} pieces learnt from the training
sentences.

## What it was trained on, and how

- **Data**: the {rows:,} labelled phrases and sentences of SST-2's training set, which come from film reviews:
  Stanford Sentiment Treebank (Socher et al., 2013), binary version of the GLUE benchmark (Wang et al., 2018).
  Nothing else.
- **Teachers**: {teachers}, with word-piece embeddings of their own,
  fitted to the labels with label smoothing, and dropout of half of the units and a fifth of the words.
- **Student**: {epochs} epochs over the phrases (targets: {label_share:.0%} label, the rest the teachers' mean) and over
  {invented:,} invented texts an epoch (spans of training texts, joined, with words masked or replaced; targets: the
  teachers' mean). Contractions are seen both as the corpus writes them ("do n't") and as people do ("don't"). The
  shipped weights are the exponential average over the last thousand or so steps.
- **Long texts**: no training text is longer than {longest} tokens. {long:,} texts an epoch, up to {positions} tokens
  long, made of phrases of one polarity in sequence, train the later positions. On real long documents it is untested.
- **Choices** (sizes, rates, dropout) were made on dev, so dev flatters a little; test had no part in them.
- **Repeat**: `python model-artifacts/train.py --data DIR --seed {seed} --threads {threads}`.
  It took {cpu_minutes:.0f} CPU minutes where it was made.

## What it is not for

Do not use it for decisions about people, nor for languages other than English. It has learnt from opinions about
films, and knows little of other subjects, irony, slang and mixed feelings. It has no neutral class: a text without an
opinion is still called NEGATIVE or POSITIVE, sometimes with a high score. It carries the biases of film reviews written
before 2005, those about names and groups of people included; they have not been examined.
"""


@dataclass(frozen=True)
class Outcome:
    """Everything the card reports."""

    qualities: dict[str, Quality]
    plan: StudentPlan
    teachers: tuple[str, ...]
    parameters: int
    vocabulary: int
    positions: int
    rows: int
    longest_tokens: int
    seed: int
    threads: int
    cpu_s: float


def write_card(directory: Path, outcome: Outcome) -> None:
    """Write README.md."""
    plan = outcome.plan
    names = {
        "gru": "recurrent (GRU, both directions)",
        "cnn": "convolutional (widths 1, 3 and 5)",
        "bag": "bag of words",
    }
    counts = {kind: outcome.teachers.count(kind) for kind in dict.fromkeys(outcome.teachers)}
    numerals = ("no", "one", "two", "three", "four", "five")
    confusion = outcome.qualities["test"].confusion
    text = _CARD.format(
        quality="\n".join(_line(name, quality) for name, quality in outcome.qualities.items()),
        negative=f"{confusion[0][0]} / {confusion[0][1]}",
        positive=f"{confusion[1][0]} / {confusion[1][1]}",
        parameters=outcome.parameters,
        layers=plan.layers,
        dim=plan.dim,
        heads=plan.heads,
        hidden=4 * plan.dim,
        positions=outcome.positions,
        vocabulary=outcome.vocabulary,
        rows=outcome.rows,
        teachers=" and ".join(f"{numerals[count]} {names[kind]}" for kind, count in counts.items()),
        epochs=plan.recipe.epochs,
        label_share=plan.label_share,
        invented=plan.invented_texts,
        long=plan.long_texts,
        longest=outcome.longest_tokens,
        seed=outcome.seed,
        cpu_minutes=outcome.cpu_s / 60,
        threads=outcome.threads,
    )
    (directory / "README.md").write_text(text, encoding="utf-8")


def _line(name: str, quality: Quality) -> str:
    numbers = f"{quality.accuracy:.2%} | {quality.nll:.3f} | {quality.brier:.3f} | {quality.ece:.3f}"
    return f"| {name} | {quality.texts:,} | {numbers} |"
