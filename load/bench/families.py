"""How fast are the families beside transformers' own pipeline? Random weights, real sentences, contestants in turn.

Each contestant turns the same sentences into scores, tokenising included, on the same threads in f32: the predictor's
tokenizer and engine, grouping as its batcher does, and the text-classification pipeline in batches of eight. The models
have the shapes of the originals; what they answer means nothing.

    python load/bench/families.py --models minilm-l6 --rounds 3
"""

import argparse
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measuring as m
import torch
from random_checkpoint import BASE, sample_texts, write_checkpoint
from transformers import AutoConfig, AutoModelForSequenceClassification, pipeline

from predictor.checkpoint.artifact import find_checkpoint
from predictor.checkpoint.tokenizer import TextTokenizer
from predictor.engine.openvino_engine import OpenVinoEngine

_BATCH = 8
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "distilbert-base": ("distilbert", {}),
    "bert-base": ("bert", _BASE),
    "roberta-base": ("roberta", {**_BASE, "max_position_embeddings": 514, "pad_token_id": 0}),
    "minilm-l6": (
        "bert",
        {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    ),
}


def write(directory: Path, name: str) -> Path:
    """Write a checkpoint of one shape, with the tokenizer of the other benchmarks: it is the same work for all."""
    model_type, shape = SHAPES[name]
    write_checkpoint(directory, size=BASE, texts=sample_texts())
    config = AutoConfig.for_model(model_type, vocab_size=BASE.vocab_size, **shape)
    torch.manual_seed(0)
    AutoModelForSequenceClassification.from_config(config).save_pretrained(directory)
    about = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "pad_token": "[PAD]"}
    (directory / "tokenizer_config.json").write_text(json.dumps(about))
    return directory


def contestants(directory: Path, texts: list[str], threads: int) -> dict[str, Callable[[], object]]:
    """Give what runs, by name."""
    checkpoint = find_checkpoint(directory)
    tokenizer = TextTokenizer(checkpoint, max_length_tokens=checkpoint.longest_tokens)
    engine = OpenVinoEngine(checkpoint=checkpoint, precision="f32", threads=threads)
    torch.set_num_threads(threads)
    own = pipeline("text-classification", model=str(directory), tokenizer=str(directory), top_k=None, device="cpu")

    def predictor() -> None:
        ids = [encoded.ids for encoded in tokenizer.encode(texts)]
        for group in engine.divide([len(each) for each in ids]):
            engine.forward([ids[index] for index in group])

    return {"predictor": predictor, "pipeline": lambda: own(texts, batch_size=_BATCH, truncation=True)}


def seconds(run: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(name: str, texts: list[str], *, rounds: int, threads: int) -> list[dict[str, str | float]]:
    """Give a row for a lone text and one for all of them."""
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    try:
        write(directory, name)
        rows: list[dict[str, str | float]] = []
        for some in (texts[:1], texts):
            runs = contestants(directory, some, threads)
            times: dict[str, list[float]] = {each: [] for each in runs}
            for number in range(rounds + 1):
                # Who goes first takes turns; the first round makes the kernels.
                for each in sorted(runs, reverse=bool(number % 2)):
                    times[each].append(seconds(runs[each]))
            ours, theirs = (times[each][1:] for each in ("predictor", "pipeline"))
            rows.append(
                {
                    "model": name,
                    "texts": len(some),
                    "predictor ms": round(m.median(ours) * 1e3, 1),
                    "pipeline ms": round(m.median(theirs) * 1e3, 1),
                    "times": f"{m.median([slow / fast for fast, slow in zip(ours, theirs, strict=True)]):.2f}",
                }
            )
        return rows
    finally:
        shutil.rmtree(directory)


def main() -> None:
    """Measure in interleaved rounds, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--texts", type=int, default=32, help="real sentences (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    texts = sample_texts()[: options.texts]
    results = [
        row for name in options.models for row in measure(name, texts, rounds=options.rounds, threads=options.threads)
    ]
    m.table(list(results[0]), [list(row.values()) for row in results])
    m.keep("bench-families", results)


if __name__ == "__main__":
    main()
