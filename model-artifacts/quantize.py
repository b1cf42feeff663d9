"""Quantises a checkpoint to int8 for the predictor, and refuses where that costs accuracy or changes labels.

    python model-artifacts/quantize.py --model DIR --texts FILE --out DIR-int8

The graph that the predictor builds is calibrated on real texts (NNCF, post training) and written as a checkpoint
directory that the predictor loads: openvino_model.xml and .bin in place of model.safetensors, quantization.json, and
quantization.md, which says what it costs, what changed, which kernels run it and how fast. The texts are the user's
own, one per line, or label, tab and text: a part calibrates, the rest decides. --calibrate and --data name two files
instead. What --points, --flips and --change do not tolerate is not written; before that, more careful recipes are
tried, see quality/recipes.py. Files under --report are compared too, without a say.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from quality.compare import Comparison, Gate, compare
from quality.kernels import kernels
from quality.page import Report, caution, page
from quality.recipes import RECIPES, Recipe, quantise
from quality.serving import load_served, score, token_ids
from quality.speed import full_batch, speeds
from quality.texts import Texts, read_texts, sample, split

from predictor.engine.feed import packed_feed
from predictor.engine.graph import build_graph
from predictor.engine.int8 import int8_instructions
from predictor.errors import CheckpointError, EngineUnavailableError
from predictor.loading import LoadedModel

_TEXTS_PER_FEED = 16


def calibration_feeds(model: LoadedModel, texts: list[str]) -> list[dict[str, NDArray[Any]]]:
    """Make the graph's inputs of texts, as batches of real requests look."""
    ids = token_ids(model, texts)
    return [feed_of(model, ids[start : start + _TEXTS_PER_FEED]) for start in range(0, len(ids), _TEXTS_PER_FEED)]


def feed_of(model: LoadedModel, ids: Sequence[NDArray[np.int32]]) -> dict[str, NDArray[Any]]:
    """Make the graph's inputs of one batch."""
    return dict(packed_feed(ids, padding_id=model.checkpoint.config.counted_padding))


def write_checkpoint(graph: ov.Model, model: LoadedModel, directory: Path, about: dict[str, Any]) -> None:
    """Write a directory that the predictor serves as int8."""
    directory.mkdir()
    ov.save_model(graph, directory / "openvino_model.xml", compress_to_fp16=False)
    for path in (model.checkpoint.directory / "config.json", *model.checkpoint.tokenizer_files):
        shutil.copyfile(path, directory / path.name)
    write_about(directory, about)


def write_about(directory: Path, about: dict[str, Any]) -> None:
    """Write quantization.json."""
    text = json.dumps({"precision": "int8", **about}, indent=2) + "\n"
    (directory / "quantization.json").write_text(text, encoding="utf-8")


def references(f32: LoadedModel) -> dict[str, LoadedModel]:
    """Give the checkpoint as it is served unquantised: f32, and bf16 where this CPU has it."""
    try:
        return {"f32": f32, "bf16": load_served(f32.checkpoint.directory, precision="bf16")}
    except EngineUnavailableError:
        print("This CPU has no bf16: compared without it.", file=sys.stderr)
        return {"f32": f32}


def compare_on(models: Mapping[str, LoadedModel], texts: Texts) -> Comparison:
    """Compare precisions on texts."""
    scores = {name: score(model, texts.texts) for name, model in models.items()}
    # A label for each text says nothing of scores that do not share one sum.
    one_label = models["f32"].checkpoint.config.scores_are == "softmax"
    return compare(texts.name, scores, texts.labels if one_label else None)


def material(given: argparse.Namespace, labels: Sequence[str]) -> tuple[Texts, Texts]:
    """Give the texts that calibrate and those that decide.

    Raises:
        ValueError: the command line names neither kind of files, or a file cannot be used.
    """
    if given.texts is not None:
        return split(read_texts(given.texts, labels), given.count, given.seed)
    if given.calibrate is None or given.data is None:
        raise ValueError("give --texts, or --calibrate and --data")
    return sample(read_texts(given.calibrate, labels), given.count, given.seed), read_texts(given.data, labels)


def run(given: argparse.Namespace) -> int:
    """Quantise, compare, and write if the comparison allows it; returns the exit status."""
    f32 = load_served(given.model, precision="f32")
    if f32.checkpoint.quantised:
        raise CheckpointError(f"{given.model} is quantised already")
    labels = f32.checkpoint.config.labels
    calibration, judged = material(given, labels)
    feeds = calibration_feeds(f32, calibration.texts)
    gate = Gate(points=given.points, flips=given.flips, change=given.change)
    unquantised = references(f32)
    out = given.out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    tried: list[tuple[Recipe, str]] = []
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        for recipe in RECIPES[: None if given.recipes is None else given.recipes]:
            draft = Path(scratch) / recipe.name
            about: dict[str, Any] = {
                "source_version": f32.version,
                "calibration_texts": len(calibration.texts),
                "recipe": recipe.name,
            }
            hidden_dim = f32.checkpoint.config.hidden_dim
            graph = quantise(build_graph(f32.checkpoint), recipe, hidden_dim=hidden_dim, feeds=feeds)
            write_checkpoint(graph, f32, draft, about)
            models = {**unquantised, "int8": load_served(draft, precision="auto")}
            decided = compare_on(models, judged)
            print(f"int8: {recipe.says}\n{decided.table()}")
            if not (refusals := gate.refusals(decided)):
                break
            print(f"quantize: not with {recipe.says}: {'; '.join(refusals)}.", file=sys.stderr)
            tried.append((recipe, "; ".join(refusals)))
        else:
            print("quantize: nothing written.", file=sys.stderr)
            return 1
        more = [compare_on(models, read_texts(path, labels)) for path in given.report]
        for each in more:
            print(each.table())
        report = describe(given, models, recipe, tried, [decided, *more], calibration, judged)
        cost = {"texts": decided.texts, "labels_changed": decided.flipped["int8"], "largest": decided.largest["int8"]}
        about |= {"accuracy": {"data": decided.name, "texts": decided.texts, **decided.accuracy}, "cost": cost}
        write_about(draft, about)
        (draft / "quantization.md").write_text(page(report), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        draft.rename(out)
    if warning := caution(report):
        print(warning, file=sys.stderr)
    print(f"{out} is written: serve it with PREDICTOR_MODEL_DIR={out}; {out / 'quantization.md'} says what it costs.")
    return 0


def describe(  # noqa: PLR0917 - all that the report is about
    given: argparse.Namespace,
    models: Mapping[str, LoadedModel],
    recipe: Recipe,
    tried: Sequence[tuple[Recipe, str]],
    comparisons: Sequence[Comparison],
    calibration: Texts,
    judged: Texts,
) -> Report:
    """Measure speed and kernels, and gather everything for the page."""
    int8 = models["int8"]
    compute = int8.engine.arithmetic.rpartition("-")[2]
    batch = full_batch(token_ids(int8, judged.texts))
    return Report(
        title=given.model.name,
        recipe=recipe.says,
        tried=[(each.says, why) for each, why in tried],
        calibration_texts=len(calibration.texts),
        labels=int8.checkpoint.config.labels,
        comparisons=comparisons,
        speed=speeds(models, judged.texts),
        kernels=kernels(int8.checkpoint.graph_file, feed_of(int8, batch), compute=compute, threads=int8.engine.threads),
        instructions=int8_instructions(),
        compute=compute,
    )


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    line = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    line.add_argument("--model", type=Path, required=True, help="checkpoint directory with model.safetensors")
    line.add_argument("--texts", type=Path, help="texts, labelled or not: a part calibrates, the rest decides")
    line.add_argument("--calibrate", type=Path, help="texts to calibrate on; not those of --data")
    line.add_argument("--data", type=Path, help="texts that decide, labelled or not")
    line.add_argument("--report", type=Path, nargs="*", default=[], help="more texts to compare on")
    line.add_argument("--out", type=Path, required=True, help="directory to write")
    line.add_argument("--count", type=int, default=1024, help="texts that calibrate (default: %(default)s)")
    line.add_argument("--points", type=float, default=0.5, help="points of accuracy that may be lost")
    line.add_argument("--flips", type=float, default=0.01, help="share of texts whose label may change")
    line.add_argument("--change", type=float, default=0.02, help="mean change of a score that is tolerated")
    line.add_argument("--recipes", type=int, help="how many of the recipes may be tried (default: all)")
    line.add_argument("--seed", type=int, default=0)
    return line


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = parser().parse_args(arguments)
    try:
        return run(given)
    except (CheckpointError, EngineUnavailableError, OSError, ValueError) as error:
        print(f"quantize: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
