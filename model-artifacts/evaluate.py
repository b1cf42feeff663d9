"""Says how good a checkpoint is on labelled texts, as the predictor would serve it.

    python model-artifacts/evaluate.py --model DIR --data dev.tsv [--engine torch] [--precision f32] [--json]

Accuracy, confusion matrix, negative log likelihood, Brier score, expected calibration error and the reliability table
behind it. The data is tab separated, label (0 negative, 1 positive) first, with or without a header line.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
from quality.scores import Quality, assess
from quality.serving import check_labels, load_served, score
from training.rows import LABELS, read_rows

from predictor.errors import CheckpointError, EngineUnavailableError


def table(quality: Quality) -> str:
    """Lay a quality out for reading."""
    width = max(map(len, LABELS)) + 2
    lines = [
        f"accuracy  {quality.accuracy:.2%} of {quality.texts} texts",
        f"nll {quality.nll:.4f}   Brier {quality.brier:.4f}   ECE {quality.ece:.4f}",
        "",
        "".join(["true \\ predicted".ljust(18), *(label.rjust(width) for label in LABELS)]),
    ]
    for label, counts in zip(LABELS, quality.confusion, strict=True):
        lines.append("".join([label.ljust(18), *(str(count).rjust(width) for count in counts)]))
    lines += ["", "best score      texts   mean score   right"]
    for each in quality.reliability:
        if each.texts:
            span = f"{each.low:.1f} to {each.high:.1f}"
            lines.append(f"{span:14}{each.texts:7}{each.confidence:13.3f}{each.accuracy:8.3f}")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """Build the command line."""
    line = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    here = Path(__file__).parent / "distilbert-tiny-sst2"
    line.add_argument("--model", type=Path, default=here, help="checkpoint directory (default: %(default)s)")
    line.add_argument("--data", type=Path, required=True, help="labelled texts")
    line.add_argument("--engine", choices=("openvino", "torch"), default="openvino")
    line.add_argument("--precision", choices=("auto", "f32", "bf16"), default="auto")
    line.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    return line


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    given = parser().parse_args(arguments)
    try:
        rows = read_rows(given.data)
        model = load_served(given.model, engine=given.engine, precision=given.precision)
        check_labels(model, LABELS)
        quality = assess(score(model, [row.text for row in rows]), np.array([row.label for row in rows]))
    except (CheckpointError, EngineUnavailableError, OSError, ValueError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1
    if given.json:
        served = {"model": str(given.model), "version": model.version, "arithmetic": model.engine.arithmetic}
        print(json.dumps({**served, "data": given.data.name, **dataclasses.asdict(quality)}, indent=2))
    else:
        print(f"{given.model.name} {model.version}, {model.engine.arithmetic}, on {given.data.name}\n{table(quality)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
