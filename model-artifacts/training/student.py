"""The model that is shipped: a small DistilBERT that learns from labels and from its teachers' judgement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DistilBertConfig, DistilBertForSequenceClassification

from training.corpus import Composer, Corpus, Ids, Scores, TwoForms
from training.fitting import Recipe, fit, predict
from training.rows import LABELS
from training.vocabulary import PAD

POSITIONS = 512


@dataclass(frozen=True)
class StudentPlan:
    """Size of the student and what it is shown in an epoch beside the training rows."""

    dim: int
    layers: int
    heads: int
    dropout: float
    invented_texts: int
    long_texts: int
    label_share: float
    recipe: Recipe


def build_student(vocabulary: int, plan: StudentPlan) -> DistilBertForSequenceClassification:
    """Make a student with fresh weights."""
    config = DistilBertConfig(
        vocab_size=vocabulary,
        dim=plan.dim,
        hidden_dim=4 * plan.dim,
        n_layers=plan.layers,
        n_heads=plan.heads,
        max_position_embeddings=POSITIONS,
        dropout=plan.dropout,
        attention_dropout=plan.dropout / 2,
        seq_classif_dropout=plan.dropout,
        pad_token_id=PAD,
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    return DistilBertForSequenceClassification(config)


def read(model: nn.Module, ids: Tensor) -> Tensor:
    """Run a student or a published checkpoint: token ids (texts, tokens) to logits (texts, labels)."""
    logits: Tensor = model(input_ids=ids, attention_mask=(ids != PAD).long()).logits
    return logits


def call(model: nn.Module, ids: Tensor) -> Tensor:
    """Run a teacher: token ids (texts, tokens) to logits (texts, labels)."""
    logits: Tensor = model(ids)
    return logits


def judge(teachers: Sequence[nn.Module], ids: list[Ids]) -> Scores:
    """Average the teachers' scores: (texts, labels) float32, rows sum to 1."""
    mean: Scores = np.mean([predict(teacher, call, ids) for teacher in teachers], axis=0, dtype=np.float32)
    return mean


def fit_student(
    student: nn.Module,
    teachers: Sequence[nn.Module],
    forms: TwoForms,
    targets: Scores,
    composer: Composer,
    plan: StudentPlan,
    *,
    rng: np.random.Generator,
    after_epoch: Callable[[nn.Module], str],
) -> nn.Module:
    """Fit the student to the rows, to invented texts as the teachers judge them, and to long texts.

    Args:
        student: trained in place.
        teachers: the models whose average judgement counts.
        forms: the training rows.
        targets: their labels, (texts, labels) float32.
        composer: makes up texts.
        plan: shares and counts.
        rng: order of the batches.
        after_epoch: as in fit.

    Returns:
        A copy of the student with averaged weights.
    """
    blend = plan.label_share * targets + (1 - plan.label_share) * judge(teachers, forms.as_typed)

    def corpus_of_epoch(_: int) -> Corpus:
        invented = composer.invent(plan.invented_texts)
        rows = forms.draw(blend.astype(np.float32), rng)
        return rows + Corpus(invented, judge(teachers, invented)) + composer.lengthen(plan.long_texts, 64)

    return fit(student, read, corpus_of_epoch, plan.recipe, rng=rng, name="student", after_epoch=after_epoch)


def save_student(student: nn.Module, directory: Path) -> None:
    """Write config.json and model.safetensors, readable by everyone."""
    student.to(torch.float32)
    student.save_pretrained(directory)
    for path in directory.iterdir():
        path.chmod(0o644)
