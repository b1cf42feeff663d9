"""How near the machine's peak is the engine? Interleaved rounds of forwards and of bare matrix products.

The work of a forward is counted as it is done: last layer for first tokens only, padding not counted as work. The peak
is the rate of a chain of 2048-cubed products in the same precision, measured in the same rounds on the same threads.
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import measuring as m
import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op
from random_checkpoint import SAMPLE, sample_texts

from predictor.checkpoint.artifact import Checkpoint, DistilBertConfig, find_checkpoint
from predictor.checkpoint.tokenizer import TextTokenizer
from predictor.engine.openvino_engine import OpenVinoEngine

PEAK_SIZE = 2048
PEAK_CHAIN = 4
Ids = NDArray[np.int32]
Run = Callable[[], object]


def peak(precision: str, threads: int) -> tuple[Run, float]:
    """Give a chain of square matrix products in one precision and its work in GFLOP."""
    rng = np.random.default_rng(0)
    left = op.parameter([PEAK_SIZE, PEAK_SIZE], np.float32)
    product = left
    # A chain, so that bringing the first input into the precision and the last output out of it weighs little.
    for _ in range(PEAK_CHAIN):
        right = op.constant(rng.normal(0, PEAK_SIZE**-0.5, (PEAK_SIZE, PEAK_SIZE)).astype(np.float32))
        product = op.matmul(product, right, transpose_a=False, transpose_b=True)
    model = ov.Model([op.result(product)], [left])
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    request = ov.Core().compile_model(model, "CPU", options).create_infer_request()
    request.set_input_tensor(ov.Tensor(rng.normal(size=(PEAK_SIZE, PEAK_SIZE)).astype(np.float32)))
    return request.infer, PEAK_CHAIN * 2 * PEAK_SIZE**3 / 1e9


def work_gflop(config: DistilBertConfig, lengths: Sequence[int]) -> float:
    """Give the floating-point work of one forward over texts of these token counts, without padding."""
    dim, hidden, tokens, texts = config.dim, config.hidden_dim, sum(lengths), len(lengths)
    squares = sum(length**2 for length in lengths)
    full = tokens * 2 * (4 * dim**2 + 2 * dim * hidden) + squares * 4 * dim
    # Keys and values of all tokens; queries and everything after attention for one token a text.
    last = tokens * 2 * 2 * dim**2 + texts * 2 * (2 * dim**2 + 2 * dim * hidden) + tokens * 4 * dim
    return ((config.layers - 1) * full + last + texts * 2 * dim**2) / 1e9


def padded(ids: Sequence[Ids], buckets: int) -> list[list[Ids]]:
    """Give batches of similar length, each filled up with padding tokens that the linear layers have to compute."""
    ordered = sorted(ids, key=len)
    size = -(-len(ordered) // buckets)
    groups = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    return [[np.resize(text, max(map(len, group))) for text in group] for group in groups]


def run_all(engine: OpenVinoEngine, batches: Sequence[Sequence[Ids]]) -> Run:
    """Give a function that runs some batches one after another."""
    return lambda: [engine.forward(batch) for batch in batches]


def ragged(checkpoint: Checkpoint, texts: Path) -> list[Ids]:
    """Give 32 real sentences' token ids."""
    tokenizer = TextTokenizer(checkpoint, max_length_tokens=512)
    return [text.ids for text in tokenizer.encode(sample_texts(texts)[:32])]


def cases(checkpoint: Checkpoint, engine: OpenVinoEngine, texts: Path) -> dict[str, tuple[Run, float]]:
    """Give every measured case: what runs, and its work in GFLOP."""
    rng = np.random.default_rng(1)
    found: dict[str, tuple[Run, float]] = {}
    for count, length in ((1, 16), (8, 16), (32, 16), (32, 128)):
        batch = [rng.integers(5, checkpoint.config.vocab_size, length, dtype=np.int32) for _ in range(count)]
        found[f"({count}, {length})"] = (run_all(engine, [batch]), work_gflop(checkpoint.config, [length] * count))
    sentences = ragged(checkpoint, texts)
    work = work_gflop(checkpoint.config, [len(text) for text in sentences])
    found["ragged 32, padded"] = (run_all(engine, padded(sentences, 1)), work)
    found["ragged 32, 4 buckets"] = (run_all(engine, padded(sentences, 4)), work)
    found["ragged 32, packed"] = (run_all(engine, [sentences]), work)
    return found


def main() -> None:
    """Measure in interleaved rounds, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, default=SAMPLE)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    checkpoint = find_checkpoint(options.model)
    results = []
    for precision in ("f32", "auto"):
        engine = OpenVinoEngine(checkpoint=checkpoint, precision=precision, threads=options.threads)
        if precision == "auto" and engine.precision == "f32":
            continue
        runs = {"peak": peak(engine.precision, options.threads)} | cases(checkpoint, engine, options.texts)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(options.rounds + 1):
            for name, (run, _) in runs.items():
                started = time.perf_counter()
                run()
                if number:  # the first round makes the kernels
                    times[name].append(time.perf_counter() - started)
        results += report(engine.precision, runs, times)
    m.table(list(results[0]), [list(row.values()) for row in results])
    m.keep("bench-predictor-engine", results)


def report(
    precision: str, runs: dict[str, tuple[Run, float]], times: dict[str, list[float]]
) -> list[dict[str, str | float]]:
    """Turn times into rows; a fraction of peak is the median of the rounds' own fractions."""
    rows: list[dict[str, str | float]] = []
    peaks = [runs["peak"][1] / seconds for seconds in times["peak"]]
    padded_s = times["ragged 32, padded"]
    for name, (_, work) in runs.items():
        rates = [work / seconds for seconds in times[name]]
        versus = [slow / fast for slow, fast in zip(padded_s, times[name], strict=True)]
        rows.append(
            {
                "precision": precision,
                "case": name,
                "p50 ms": round(m.median(times[name]) * 1e3, 2),
                "best ms": round(min(times[name]) * 1e3, 2),
                "GFLOP/s": round(m.median(rates)),
                "of peak": f"{m.median([r / p for r, p in zip(rates, peaks, strict=True)]):.0%}",
                "best of best peak": f"{max(rates) / max(peaks):.0%}",
                "times padded": f"{m.median(versus):.2f}" if name.startswith("ragged") else "",
            }
        )
    return rows


if __name__ == "__main__":
    main()
