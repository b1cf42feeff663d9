"""Quantises a checkpoint to int8 for the predictor, and refuses where that costs accuracy.

    python model-artifacts/quantize.py --model DIR --calibrate train.tsv --data dev.tsv --out DIR-int8

The graph that the predictor builds is calibrated on real texts (NNCF, post training) and written as a checkpoint
directory that the predictor loads: openvino_model.xml and .bin in place of model.safetensors, and quantization.json.
Accuracy is compared on the labelled texts of --data; a fall of more than --tolerance points (half a point) writes
nothing and exits with 1. Files under --report are compared too, without a say.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
from numpy.typing import NDArray
from quality.compare import Comparison, compare
from quality.serving import check_labels, load_served, score, token_ids
from training.rows import LABELS, Row, read_rows

from predictor.engine.distilbert_graph import build_graph, packed_feed
from predictor.errors import CheckpointError, EngineUnavailableError
from predictor.loading import LoadedModel

_TEXTS_PER_FEED = 16


def calibration_feeds(model: LoadedModel, texts: list[str]) -> list[dict[str, NDArray[Any]]]:
    """Make the graph's inputs of texts, as batches of real requests look."""
    ids = token_ids(model, texts)
    return [dict(packed_feed(ids[start : start + _TEXTS_PER_FEED])) for start in range(0, len(ids), _TEXTS_PER_FEED)]


def quantise(model: LoadedModel, texts: list[str]) -> ov.Model:
    """Quantise the predictor's graph of a checkpoint, its ranges taken from the texts."""
    feeds = calibration_feeds(model, texts)
    return nncf.quantize(
        build_graph(model.checkpoint),
        nncf.Dataset(feeds),
        subset_size=len(feeds),
        model_type=nncf.ModelType.TRANSFORMER,
    )


def write_checkpoint(graph: ov.Model, model: LoadedModel, directory: Path, about: dict[str, Any]) -> None:
    """Write a directory that the predictor serves as int8."""
    ov.save_model(graph, directory / "openvino_model.xml", compress_to_fp16=False)
    for path in (model.checkpoint.directory / "config.json", *model.checkpoint.tokenizer_files):
        shutil.copyfile(path, directory / path.name)
    write_about(directory, about)


def write_about(directory: Path, about: dict[str, Any]) -> None:
    """Write quantization.json."""
    text = json.dumps({"precision": "int8", **about}, indent=2) + "\n"
    (directory / "quantization.json").write_text(text, encoding="utf-8")


def measure(f32: LoadedModel, int8: LoadedModel, files: list[Path]) -> list[Comparison]:
    """Compare f32, bf16 where this CPU has it, and int8 on each file."""
    models = {"f32": f32, "int8": int8}
    try:
        models = {"f32": f32, "bf16": load_served(f32.checkpoint.directory, precision="bf16"), "int8": int8}
    except EngineUnavailableError:
        print("This CPU has no bf16: compared without it.", file=sys.stderr)
    found = []
    for path in files:
        rows = read_rows(path)
        texts, labels = [row.text for row in rows], np.array([row.label for row in rows])
        scores = {name: score(model, texts) for name, model in models.items()}
        found.append(compare(path.name, scores, labels))
    return found


def sample(rows: list[Row], count: int, seed: int) -> list[str]:
    """Choose texts for calibration by chance."""
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[index].text for index in chosen]


def run(given: argparse.Namespace) -> int:
    """Quantise, compare, and write if the comparison allows it; returns the exit status."""
    f32 = load_served(given.model, precision="f32")
    if f32.checkpoint.quantised:
        raise CheckpointError(f"{given.model} is quantised already")
    check_labels(f32, LABELS)
    texts = sample(read_rows(given.calibrate), given.texts, given.seed)
    out = given.out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        draft = Path(scratch) / out.name
        draft.mkdir()
        about: dict[str, Any] = {"source_version": f32.version, "calibration_texts": len(texts)}
        write_checkpoint(quantise(f32, texts), f32, draft, about)
        comparisons = measure(f32, load_served(draft, precision="auto"), [given.data, *given.report])
        for each in comparisons:
            print(each.table())
        gate = comparisons[0]
        fall = 100 * (gate.accuracy["f32"] - gate.accuracy["int8"])
        if fall > given.tolerance:
            print(
                f"quantize: nothing written: accuracy on {gate.name} falls by {fall:.2f} points,"
                f" {given.tolerance:g} are tolerated.",
                file=sys.stderr,
            )
            return 1
        write_about(draft, {**about, "accuracy": {"data": gate.name, "texts": gate.texts, **gate.accuracy}})
        shutil.rmtree(out, ignore_errors=True)
        draft.rename(out)
    print(f"{out} is written: serve it with PREDICTOR_MODEL_DIR={out}")
    return 0


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    line = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    line.add_argument("--model", type=Path, required=True, help="checkpoint directory with model.safetensors")
    line.add_argument("--calibrate", type=Path, required=True, help="texts to calibrate on; not those of --data")
    line.add_argument("--data", type=Path, required=True, help="labelled texts that decide")
    line.add_argument("--report", type=Path, nargs="*", default=[], help="more labelled texts to compare on")
    line.add_argument("--out", type=Path, required=True, help="directory to write")
    line.add_argument("--texts", type=int, default=2048, help="texts taken from --calibrate (default: %(default)s)")
    line.add_argument("--tolerance", type=float, default=0.5, help="points of accuracy that may be lost")
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
