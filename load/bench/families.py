"""How fast are the families beside transformers' own pipeline? Random weights, real sentences, contestants in turn.

Each contestant turns the same sentences into scores, tokenising included, on the same threads in f32: the predictor's
tokenizer and engine, grouping as its batcher does, and the text-classification pipeline in batches of eight. The models
have the shapes of the originals; what they answer means nothing.

    python load/bench/families.py --models minilm-l6 --rounds 3
    python load/bench/families.py --write build/xlm-roberta-random --models xlm-roberta-base

The second writes a checkpoint and measures nothing; XLM-RoBERTa's has the original's 250 000 pieces and half precision.
"""

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import measuring as m
import torch
from random_checkpoint import BASE, SMALL, sample_texts, write_checkpoint
from tokenizers import Tokenizer, models, pre_tokenizers
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
    "modernbert-base": (
        "modernbert",
        {f"{role}_token_id": index for role, index in (("pad", 0), ("bos", 2), ("cls", 2), ("eos", 3), ("sep", 3))},
    ),
    "deberta-v3-small": (
        "deberta-v2",
        {
            **_BASE,
            "num_hidden_layers": 6,
            "vocab_size": 128_100,
            "position_biased_input": False,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_buckets": 256,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "xlm-roberta-base": ("xlm-roberta", {**_BASE, "max_position_embeddings": 514, "type_vocab_size": 1}),
}
_PIECES = 250_002


def write_pieces(directory: Path) -> None:
    """Write a SentencePiece tokenizer of XLM-RoBERTa's size: the words of the sample, then pieces of random letters."""
    rng = random.Random(0)  # noqa: S311  # it makes up words
    pieces = dict.fromkeys(("<s>", "<pad>", "</s>", "<unk>"))
    pieces |= dict.fromkeys(f"\u2581{word}" for text in sample_texts() for word in text.split())
    pieces |= dict.fromkeys(chr(code) for code in range(33, 127))
    while len(pieces) < _PIECES - 1:
        pieces["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9)))] = None
    scored = [(piece, -float(n) / 10_000) for n, piece in enumerate([*pieces, "<mask>"])]
    tokenizer = Tokenizer(models.Unigram(scored, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    tokenizer.save(str(directory / "tokenizer.json"))
    about = {"tokenizer_class": "XLMRobertaTokenizer", "model_max_length": 512}
    (directory / "tokenizer_config.json").write_text(json.dumps(about))


def write(directory: Path, name: str) -> Path:
    """Write a checkpoint of one shape, with the tokenizer of the other benchmarks: it is the same work for all."""
    model_type, shape = SHAPES[name]
    if model_type == "xlm-roberta":
        directory.mkdir(parents=True, exist_ok=True)
        write_pieces(directory)
        config = AutoConfig.for_model(model_type, vocab_size=_PIECES, **shape)
        AutoModelForSequenceClassification.from_config(config).half().save_pretrained(directory)
        return directory
    # The model itself is written over.
    write_checkpoint(directory, size=replace(SMALL, vocab_size=BASE.vocab_size), texts=sample_texts())
    config = AutoConfig.for_model(model_type, **{"vocab_size": BASE.vocab_size, **shape})
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


def seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Give the seconds that one call takes, and its CPU seconds: these depend less on what else the machine does."""
    started, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - started, time.process_time() - used


def _ratio(ours: list[tuple[float, float]], theirs: list[tuple[float, float]], which: int) -> str:
    return f"{m.median([slow[which] / fast[which] for fast, slow in zip(ours, theirs, strict=True)]):.2f}"


def measure(name: str, texts: list[str], *, rounds: int, threads: int) -> list[dict[str, str | float]]:
    """Give a row for a lone text and one for all of them."""
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    try:
        write(directory, name)
        rows: list[dict[str, str | float]] = []
        for some in (texts[:1], texts):
            runs = contestants(directory, some, threads)
            times: dict[str, list[tuple[float, float]]] = {each: [] for each in runs}
            for number in range(rounds + 1):
                # Who goes first takes turns; the first round makes the kernels.
                for each in sorted(runs, reverse=bool(number % 2)):
                    times[each].append(seconds(runs[each]))
            ours, theirs = (times[each][1:] for each in ("predictor", "pipeline"))
            rows.append(
                {
                    "model": name,
                    "texts": len(some),
                    "predictor ms": round(m.median([each[0] for each in ours]) * 1e3, 1),
                    "pipeline ms": round(m.median([each[0] for each in theirs]) * 1e3, 1),
                    "times": _ratio(ours, theirs, 0),
                    "CPU times": _ratio(ours, theirs, 1),
                }
            )
        return rows
    finally:
        shutil.rmtree(directory)


def main() -> None:
    """Measure in interleaved rounds, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(SHAPES)[:-1])
    parser.add_argument("--write", type=Path, help="write the first model's checkpoint here, and end")
    parser.add_argument("--texts", type=int, default=32, help="real sentences (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--report", type=Path, help="write the table as a page here")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    if options.write:
        print(f"written: {write(options.write, options.models[0])}")
        return
    texts = sample_texts()[: options.texts]
    results = [
        row for name in options.models for row in measure(name, texts, rounds=options.rounds, threads=options.threads)
    ]
    m.table(list(results[0]), [list(row.values()) for row in results])
    m.keep("bench-families", results)
    if options.report:
        said = (
            f"A lone sentence and {options.texts} of real lengths, f32, random weights; medians of {options.rounds}"
            " interleaved rounds; times: the pipeline's time over the predictor's, round by round, and the same of CPU"
            " time, which depends less on what else the machine does."
        )
        m.report(options.report, title="Families", command="make bench-families", parts={said: results})


if __name__ == "__main__":
    main()
