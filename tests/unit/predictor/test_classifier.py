import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from predictor.batching.batcher import Batcher
from predictor.batching.classifier import Classifier
from predictor.batching.job import softmax
from predictor.batching.tokenising import TokenisingThread
from predictor.checkpoint.artifact import find_checkpoint
from predictor.checkpoint.tokenizer import Encoded, TextTokenizer
from predictor.engine.base import Logits
from predictor.errors import DeadlineExceededError, InferenceFailedError
from predictor.metrics import Metrics


class LengthEngine:
    """Logits are the text's length and 0; a gate holds it."""

    name = "fake"
    precision = "f32"
    arithmetic = "fake-f32"
    threads = 1

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.lengths: list[int] = []
        self.thread_names: set[str] = set()

    def divide(self, lengths: Sequence[int]) -> list[list[int]]:
        return [list(range(len(lengths)))]

    def forward(self, ids: Sequence[NDArray[np.int32]]) -> Logits:
        self.thread_names.add(threading.current_thread().name)
        self.lengths += [len(text) for text in ids]
        self.entered.release()
        assert self.gate.wait(10)
        return np.array([[len(text) / 8, 0] for text in ids], np.float32)


class Parts:
    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.engine = LengthEngine()
        self.registry = CollectorRegistry()
        metrics = Metrics(registry=self.registry)
        batcher = Batcher(
            engine=self.engine,
            max_batch_tokens=64,
            max_queue_tokens=10_000,
            max_wait_s=1e9,
            tokens_per_s=1e9,
            metrics=metrics,
        )
        tokenising = TokenisingThread(tokenizer=tokenizer, on_tokenised=batcher.put)
        self.classifier = Classifier(tokenising=tokenising, batcher=batcher, max_length_tokens=16, metrics=metrics)
        batcher.start()
        tokenising.start()

    async def close(self) -> None:
        self.engine.gate.set()
        await asyncio.to_thread(self.classifier.close)


def real_tokenizer(directory: Path) -> TextTokenizer:
    return TextTokenizer(find_checkpoint(directory), max_length_tokens=16)


async def test_scores_come_in_order_with_the_truncated_texts_named(small_checkpoint: Path) -> None:
    parts = Parts(real_tokenizer(small_checkpoint))
    texts = ["film", "film " * 40, "a lovely film", *["film"] * 40, "film " * 15]
    answer = await parts.classifier.classify(texts, time_left_s=5)
    await parts.close()
    lengths = [3, 16, 5, *[3] * 40, 16]
    np.testing.assert_allclose(answer.scores, softmax(np.array([[n / 8, 0] for n in lengths], np.float32)))
    assert answer.truncated == (1, 43)
    assert parts.engine.thread_names == {"engine"}
    assert parts.registry.get_sample_value("predictor_texts_total") == 44
    assert parts.registry.get_sample_value("predictor_truncated_texts_total") == 2


async def test_a_passed_deadline_is_answered_while_the_engine_still_runs(small_checkpoint: Path) -> None:
    parts = Parts(real_tokenizer(small_checkpoint))
    parts.engine.gate.clear()
    with pytest.raises(DeadlineExceededError):
        await parts.classifier.classify(["film"], time_left_s=0.05)
    await parts.close()


async def test_a_cancelled_caller_frees_its_texts(small_checkpoint: Path) -> None:
    parts = Parts(real_tokenizer(small_checkpoint))
    parts.engine.gate.clear()
    running = asyncio.ensure_future(parts.classifier.classify(["film"], time_left_s=5))
    await asyncio.to_thread(parts.engine.entered.acquire)
    gone = asyncio.ensure_future(parts.classifier.classify(["a lovely film"] * 30, time_left_s=5))
    while parts.registry.get_sample_value("predictor_queue_tokens") != 150:  # noqa: ASYNC110 - a metric has no event
        await asyncio.sleep(0.005)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert parts.registry.get_sample_value("predictor_queue_tokens") == 0
    parts.engine.gate.set()
    await running
    await parts.close()
    assert parts.engine.lengths == [3]
    assert parts.registry.get_sample_value("predictor_shed_total", {"reason": "client_gone"}) == 1


class TurnTokenizer:
    """Notes whose texts come when; fails on one."""

    def __init__(self) -> None:
        self.turns: list[str] = []
        self.gate = threading.Event()

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        assert self.gate.wait(10)
        if "bad" in texts:
            raise RuntimeError("no such character")
        self.turns.append(texts[0])
        return [Encoded(ids=np.array([2, 3], np.int32), truncated=False) for _ in texts]


class StuckTokenizer:
    """Tokenises in the event loop's thread; any other one waits at a gate."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        self.gate = threading.Event()

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        assert threading.current_thread() is threading.main_thread() or self.gate.wait(10)
        return self._tokenizer.encode(texts)


async def test_a_short_request_is_tokenised_between_the_slices_of_a_long_one() -> None:
    tokenizer = TurnTokenizer()
    parts = Parts(tokenizer)
    long = asyncio.ensure_future(parts.classifier.classify(["longer"] * 128, time_left_s=5))
    wide = asyncio.ensure_future(parts.classifier.classify(["wide" * 3000] * 3, time_left_s=5))
    short = asyncio.ensure_future(parts.classifier.classify(["short" * 200], time_left_s=5))
    await asyncio.sleep(0.05)
    tokenizer.gate.set()
    await asyncio.gather(long, wide, short)
    await parts.close()
    names = [turn[:4] for turn in tokenizer.turns]
    assert names == ["long", "wide", "shor", "long", "wide", "long", "wide", *["long"] * 5]


async def test_a_lone_text_does_not_wait_for_the_tokenising_thread(small_checkpoint: Path) -> None:
    parts = Parts(StuckTokenizer(real_tokenizer(small_checkpoint)))
    long = asyncio.ensure_future(parts.classifier.classify(["film " * 500], time_left_s=5))
    answer = await parts.classifier.classify(["film"], time_left_s=5)
    assert answer.scores.shape == (1, 2)
    assert not long.done()
    parts.tokenizer.gate.set()
    await long
    await parts.close()


@pytest.mark.parametrize("more", [0, 1000], ids=["short", "long"])
async def test_a_text_that_cannot_be_tokenised_fails_only_its_request(more: int) -> None:
    tokenizer = TurnTokenizer()
    tokenizer.gate.set()
    parts = Parts(tokenizer)
    with pytest.raises(InferenceFailedError):
        await parts.classifier.classify(["good" + "d" * more, "bad"], time_left_s=5)
    answer = await parts.classifier.classify(["good"], time_left_s=5)
    await parts.close()
    assert answer.scores.shape == (1, 2)


def test_softmax_survives_large_logits() -> None:
    scores = softmax(np.array([[1000.0, -1000.0], [0.0, 0.0]], np.float32))
    np.testing.assert_array_equal(scores, np.array([[1, 0], [0.5, 0.5]], np.float32))
    assert scores.dtype == np.float32
