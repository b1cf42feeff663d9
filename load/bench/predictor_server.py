"""The server against its own engine, and against FastAPI with a Hugging Face pipeline, over HTTP in the same rounds."""

import argparse
import os
import time
from contextlib import ExitStack
from pathlib import Path

import measuring as m
import predictor_load as load
import uvloop
from random_checkpoint import SAMPLE, sample_texts

from predictor.checkpoint.artifact import find_checkpoint
from predictor.checkpoint.tokenizer import TextTokenizer
from predictor.engine.openvino_engine import OpenVinoEngine
from predictor.settings import Settings


class OwnEngine:
    """The engine alone, in this process: what the server could reach at best."""

    def __init__(self, model: Path, threads: int, texts: load.UniqueTexts) -> None:
        checkpoint = find_checkpoint(model)
        self._engine = OpenVinoEngine(checkpoint=checkpoint, precision="auto", threads=threads)
        self._tokenizer = TextTokenizer(checkpoint, max_length_tokens=512)
        self._texts = texts

    def texts_per_s(self, seconds: float, *, batch_tokens: int) -> float:
        """Run full batches, tokenised beforehand."""
        ids = [text.ids for text in self._tokenizer.encode(self._texts.take(2000))]
        done = position = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds:
            batch = []
            while sum(map(len, batch)) + len(ids[position % len(ids)]) <= batch_tokens:
                batch.append(ids[position % len(ids)])
                position += 1
            for group in self._engine.divide([len(text) for text in batch]):
                self._engine.forward([batch[index] for index in group])
            done += len(batch)
        return done / (time.perf_counter() - started)

    def single_ms(self, text: str) -> float:
        """Give the time of one text's forward."""
        (encoded,) = self._tokenizer.encode([text])
        started = time.perf_counter()
        self._engine.forward([encoded.ids])
        return (time.perf_counter() - started) * 1e3


async def rounds(options: argparse.Namespace, targets: dict[str, load.Target]) -> dict[str, list[float]]:
    """Measure everything a few times, one after another."""
    texts = load.UniqueTexts(sample_texts(options.texts))
    own = OwnEngine(options.model, options.threads, texts)
    found: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        found.setdefault(name, []).append(value)

    for _ in range(options.rounds):
        note("engine alone, texts/s", own.texts_per_s(options.seconds, batch_tokens=Settings().max_batch_tokens))
        # Each text goes through the engine alone right before it is sent: when the machine's speed changes, both do.
        engine_ms: list[float] = []
        seen = load.lone_client(
            targets["predictor"],
            texts=texts,
            seconds=options.seconds,
            before=lambda text, seen_ms=engine_ms: seen_ms.append(own.single_ms(text)),
        )
        note("engine alone, single ms", m.median(engine_ms))
        note("lone client, p50 ms", seen.percentile(seen.answered_ms, 50))
        note("lone client, p50 ms beside inference", seen.percentile(seen.overhead_ms, 50))
        for name, target in targets.items():
            for clients, size in ((1, 1), (10, 1), (4, 16)):
                rate, seen = await load.closed_loop(
                    target, texts=texts, clients=clients, size=size, seconds=options.seconds
                )
                what = f"{name}, {clients} x {size}"
                note(f"{what}, texts/s", rate)
                note(f"{what}, p50 ms", seen.percentile(seen.answered_ms, 50))
                if seen.failed or seen.late or seen.refused_ms:
                    raise SystemExit(f"{what}: not every request was answered")
    return found


def ratio(found: dict[str, list[float]], above: str, below: str) -> float:
    """Give the median of the rounds' own ratios."""
    return round(m.median([a / b for a, b in zip(found[above], found[below], strict=True)]), 2)


def main() -> None:
    """Start both servers, measure, print a table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--texts", type=Path, default=SAMPLE)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    ports = m.free_port(), m.free_port()
    ours = m.python("-m", "predictor", "--model_name=sentiment", f"--http_port={ports[0]}", "--enable_grpc=false")
    theirs = m.python("-m", "uvicorn", "--app-dir=load/bench", f"--port={ports[1]}", "predictor_baseline:app")
    with ExitStack() as stack:
        health = f"http://127.0.0.1:{ports[0]}/v2/health/ready"
        stack.enter_context(m.process(ours, env={"PREDICTOR_MODEL_DIR": str(options.model)}, ready=health))
        health = f"http://127.0.0.1:{ports[1]}/health"
        stack.enter_context(m.process(theirs, env={"BASELINE_MODEL": str(options.model)}, ready=health))
        targets = {
            "predictor": load.Target(f"http://127.0.0.1:{ports[0]}/v1/models/sentiment:predict", "instances"),
            "FastAPI + pipeline": load.Target(f"http://127.0.0.1:{ports[1]}/predict", "text"),
        }
        found = uvloop.run(rounds(options, targets))
    rows = [(name, round(m.median(values), 2)) for name, values in found.items()]
    engine, single = "engine alone, texts/s", "engine alone, single ms"
    beyond = [a - b for a, b in zip(found["lone client, p50 ms"], found[single], strict=True)]
    rows += [
        ("server of engine, 4 x 16", ratio(found, "predictor, 4 x 16, texts/s", engine)),
        ("server of engine, 10 x 1", ratio(found, "predictor, 10 x 1, texts/s", engine)),
        ("lone client p50 beyond engine ms", round(m.median(beyond), 2)),
        *(
            (
                f"times FastAPI + pipeline, {case}",
                ratio(found, f"predictor, {case}, texts/s", f"FastAPI + pipeline, {case}, texts/s"),
            )
            for case in ("1 x 1", "10 x 1", "4 x 16")
        ),
    ]
    m.table(("what", "median"), rows)
    m.keep("bench-predictor-server", {"medians": dict(rows), "rounds": found})


if __name__ == "__main__":
    main()
