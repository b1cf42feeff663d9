"""Trains distilbert-tiny-sst2 from scratch on SST-2 and writes it as a Hugging Face checkpoint.

    python model-artifacts/train.py --data DIR

DIR holds train.tsv, dev.tsv and test.tsv of SST-2 as GLUE ships it (label, tab, sentence). Teachers are fitted first,
then the student learns from them; the dev set is only looked at, the test set only at the very end. The same seed,
threads and versions give the same weights.
"""

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from checkpoint import manifest
from torch import nn
from training.card import Outcome, write_card
from training.corpus import Composer, Corpus
from training.fitting import Recipe, fit
from training.material import Material, prepare
from training.student import POSITIONS, StudentPlan, build_student, call, fit_student, read, save_student
from training.teachers import Reader
from training.vocabulary import save_tokenizer

TEACHERS = ("gru", "cnn")
TEACHER_RECIPE = Recipe(epochs=3, learning_rate=1e-3, weight_decay=0.1, word_dropout=0.2)
TEACHER_WIDTH = 160
PLAN = StudentPlan(
    dim=192,
    layers=2,
    heads=4,
    dropout=0.2,
    invented_texts=50_000,
    long_texts=300,
    label_share=0.3,
    recipe=Recipe(epochs=5, learning_rate=1e-3, weight_decay=0.1, word_dropout=0.1),
)
VOCABULARY = 8000
SMOOTHING = 0.05
SERVED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt")


def make_teacher(kind: str, material: Material, recipe: Recipe, seed: int) -> nn.Module:
    """Fit one teacher to the labels."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    reader = Reader(kind=kind, vocabulary=material.vocabulary, width=TEACHER_WIDTH)

    def corpus_of_epoch(_: int) -> Corpus:
        return material.forms.draw(material.targets, rng)

    name = f"teacher {kind}, seed {seed}"
    return fit(reader, call, corpus_of_epoch, recipe, rng=rng, name=name, after_epoch=material.dev_report(call))


def make_student(material: Material, teachers: list[nn.Module], plan: StudentPlan, seed: int) -> nn.Module:
    """Fit the student to its teachers and the labels."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    composer = Composer(tokenizer=material.tokenizer, rows=material.rows, longest_tokens=POSITIONS, rng=rng)
    return fit_student(
        build_student(material.vocabulary, plan),
        teachers,
        material.forms,
        material.targets,
        composer,
        plan,
        rng=rng,
        after_epoch=material.dev_report(read),
    )


def publish(student: nn.Module, material: Material, plan: StudentPlan, seed: int, out: Path) -> Outcome:
    """Write checkpoint, model card and manifest; only here is the test set touched."""
    out.mkdir(parents=True, exist_ok=True)
    save_tokenizer(material.tokenizer, out, POSITIONS)
    save_student(student, out)
    outcome = Outcome(
        qualities={name: material.quality(name, student, read) for name in material.unseen},
        plan=plan,
        teachers=TEACHERS,
        parameters=sum(weight.numel() for weight in student.parameters()),
        vocabulary=material.vocabulary,
        positions=POSITIONS,
        rows=len(material.rows),
        longest_tokens=max(len(each) for each in material.forms.as_written),
        seed=seed,
        threads=torch.get_num_threads(),
        cpu_s=time.process_time(),
    )
    write_card(out, outcome)
    origin = {"source": "model-artifacts/train.py", "seed": seed, "directory": out.name}
    manifest.write(out.with_name(manifest.MANIFEST_NAME), out, list(SERVED), **origin)
    return outcome


def train(data: Path, out: Path, seed: int, plan: StudentPlan, teacher_recipe: Recipe) -> None:
    """Do all of it."""
    material = prepare(data, vocabulary=VOCABULARY, smoothing=SMOOTHING)
    teachers = [
        make_teacher(kind, material, teacher_recipe, seed + number) for number, kind in enumerate(TEACHERS, start=1)
    ]
    outcome = publish(make_student(material, teachers, plan, seed), material, plan, seed, out)
    for name, quality in outcome.qualities.items():
        print(f"{name}: accuracy {quality.accuracy:.2%} of {quality.texts} texts.")


def quickened(plan: StudentPlan) -> StudentPlan:
    """Shrink the plan to one that only shows that everything works."""
    return replace(plan, dim=32, invented_texts=64, long_texts=2, recipe=replace(plan.recipe, epochs=1, batch_texts=32))


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    line = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    here = Path(__file__).parent / "distilbert-tiny-sst2"
    line.add_argument("--data", type=Path, required=True, help="directory with train.tsv, dev.tsv and test.tsv")
    line.add_argument("--out", type=Path, default=here, help="checkpoint to write; its MANIFEST.json goes beside it")
    line.add_argument("--seed", type=int, default=0)
    line.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU threads (default: all)")
    line.add_argument("--quick", action="store_true", help="a toy in seconds, to see that everything works")
    return line


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = parser().parse_args(arguments)
    torch.set_num_threads(given.threads)
    # Weights and moments that fade to denormal numbers would slow every step.
    torch.set_flush_denormal(True)
    plan, recipe = (quickened(PLAN), replace(TEACHER_RECIPE, epochs=1)) if given.quick else (PLAN, TEACHER_RECIPE)
    try:
        train(given.data, given.out.absolute(), given.seed, plan, recipe)
    except (OSError, ValueError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
