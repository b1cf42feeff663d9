import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from predictor.batching.batcher import Batcher
from predictor.batching.job import Answer, Job
from predictor.checkpoint.tokenizer import Encoded
from predictor.engine.base import Logits
from predictor.errors import (
    DeadlineExceededError,
    InferenceFailedError,
    OverloadedError,
    PredictorError,
    ShuttingDownError,
)
from predictor.metrics import Metrics

POISON = 913
NONSENSE = 914


class GatedEngine:
    """Answers with each text's first id; waits at a gate while it is shut; keeps what it was given."""

    name = "fake"
    precision = "f32"
    arithmetic = "fake-f32"
    threads = 1

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def divide(self, lengths: Sequence[int]) -> list[list[int]]:
        return [list(range(len(lengths)))]

    def forward(self, ids: Sequence[NDArray[np.int32]]) -> Logits:
        firsts = [int(text[0]) for text in ids]
        self.batches.append(firsts)
        self.entered.release()
        assert self.gate.wait(10)
        if POISON in firsts:
            raise RuntimeError("poison")
        return np.array([[f, np.nan if f == NONSENSE else 0.0] for f in firsts], dtype=np.float32)


Submit = Callable[..., "asyncio.Future[Answer]"]


class Bench:
    """A batcher on a fake engine, and a way to give it work."""

    def __init__(
        self,
        *,
        max_batch_tokens: int = 8,
        max_queue_tokens: int = 40,
        max_wait_s: float = 1e9,
        tokens_per_s: float = 1e9,
    ) -> None:
        self.engine = GatedEngine()
        self.registry = CollectorRegistry()
        self.batcher = Batcher(
            engine=self.engine,
            max_batch_tokens=max_batch_tokens,
            max_queue_tokens=max_queue_tokens,
            max_wait_s=max_wait_s,
            tokens_per_s=tokens_per_s,
            metrics=Metrics(registry=self.registry),
        )
        self.batcher.start()

    def job(self, *firsts: int, tokens: int = 2, time_left_s: float = 5) -> Job:
        job = Job(
            texts=[str(first) for first in firsts],
            deadline_s=time.monotonic() + time_left_s,
            future=asyncio.get_running_loop().create_future(),
        )
        job.encoded = [Encoded(ids=np.full(tokens, first, np.int32), truncated=False) for first in firsts]
        return job

    def submit(self, *firsts: int, tokens: int = 2, time_left_s: float = 5) -> Job:
        job = self.job(*firsts, tokens=tokens, time_left_s=time_left_s)
        self.batcher.reserve(job, tokens=tokens * len(firsts))
        self.batcher.put(job)
        return job

    async def shut_in(self, first: int = 1) -> Job:
        """Have the engine busy with one text until its gate opens."""
        self.engine.gate.clear()
        job = self.submit(first)
        await asyncio.to_thread(self.engine.entered.acquire)
        return job

    def shed(self, reason: str) -> float:
        return self.registry.get_sample_value("predictor_shed_total", {"reason": reason}) or 0.0


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    bench.engine.gate.set()
    await asyncio.to_thread(bench.batcher.close)


def best(answer: Answer) -> list[int]:
    return [int(row.argmax()) for row in answer.scores]


async def test_an_idle_engine_takes_a_text_at_once(bench: Bench) -> None:
    answer = await bench.submit(5).future
    assert bench.engine.batches == [[5]]
    assert answer.scores.shape == (1, 2)
    assert answer.scores.dtype == np.float32
    assert float(answer.scores.sum()) == pytest.approx(1)


async def test_what_arrives_while_the_engine_runs_is_the_next_batch(bench: Bench) -> None:
    running = await bench.shut_in(1)
    jobs = [bench.submit(first) for first in (2, 3, 4)]
    bench.engine.gate.set()
    await asyncio.gather(running.future, *(job.future for job in jobs))
    assert bench.engine.batches == [[1], [2, 3, 4]]


async def test_batches_keep_the_token_budget(bench: Bench) -> None:
    running = await bench.shut_in(1)
    jobs = [bench.submit(first, tokens=3) for first in (2, 3, 4)] + [bench.submit(5, tokens=20)]
    bench.engine.gate.set()
    await asyncio.gather(running.future, *(job.future for job in jobs))
    assert bench.engine.batches == [[1], [2, 3], [4], [5]]


async def test_answers_keep_their_order_across_batches(bench: Bench) -> None:
    answer = await bench.submit(*range(20, 0, -1), tokens=2).future
    logits = np.array([[first, 0] for first in range(20, 0, -1)], dtype=np.float32)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(answer.scores, expected, rtol=1e-6)
    assert len(bench.engine.batches) == 5


async def test_a_single_text_passes_a_large_request(bench: Bench) -> None:
    running = await bench.shut_in(1)
    large = bench.submit(*range(20, 38))
    single = bench.submit(99)
    bench.engine.gate.set()
    await asyncio.gather(running.future, large.future, single.future)
    # Two texts are the large request's first slice, half a batch; then it is the single text's turn.
    assert bench.engine.batches[1] == [20, 21, 99, 22]


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(bench: Bench) -> None:
    await bench.shut_in(1)
    bench.submit(*range(20, 38))
    with pytest.raises(OverloadedError) as caught:
        bench.submit(*range(20, 23))
    assert caught.value.retry_after_s == 1
    assert caught.value.status == 503
    assert bench.shed("queue_full") == 1
    bench.submit(3, 4)


async def test_reserved_tokens_count_before_they_are_tokenised(bench: Bench) -> None:
    await bench.shut_in(1)
    promised = bench.job(2)
    bench.batcher.reserve(promised, tokens=39)
    with pytest.raises(OverloadedError):
        bench.submit(3)
    bench.batcher.discard(promised)
    bench.submit(3)


async def test_an_idle_queue_takes_a_request_larger_than_itself(bench: Bench) -> None:
    answer = await bench.submit(*range(20, 50)).future
    assert answer.scores.shape == (30, 2)


async def test_a_request_that_turns_out_too_large_is_refused_when_tokenised(bench: Bench) -> None:
    await bench.shut_in(1)
    bench.submit(*range(20, 35))
    job = bench.job(*range(20, 29))
    bench.batcher.reserve(job, tokens=2)
    bench.batcher.put(job)
    with pytest.raises(OverloadedError):
        await job.future


async def test_a_wait_longer_than_the_deadline_is_refused_at_once() -> None:
    bench = Bench(max_queue_tokens=10_000, tokens_per_s=10)
    try:
        await bench.shut_in(1)
        bench.submit(2, tokens=30)
        with pytest.raises(OverloadedError) as caught:
            bench.submit(3, time_left_s=2)
        assert caught.value.retry_after_s == 3
        assert bench.shed("would_be_late") == 1
        bench.submit(3, time_left_s=60)
    finally:
        bench.engine.gate.set()
        await asyncio.to_thread(bench.batcher.close)


async def test_a_queue_longer_than_the_longest_wait_takes_no_more_however_late_the_deadline() -> None:
    bench = Bench(max_queue_tokens=10_000, max_wait_s=2, tokens_per_s=10)
    try:
        await bench.shut_in(1)
        bench.submit(2, tokens=10, time_left_s=1000)
        bench.submit(3, tokens=10, time_left_s=1000)
        with pytest.raises(OverloadedError):
            bench.submit(4, time_left_s=1000)
        assert bench.shed("would_be_late") == 1
    finally:
        bench.engine.gate.set()
        await asyncio.to_thread(bench.batcher.close)


async def test_a_large_request_that_is_still_tokenised_turns_no_short_one_away() -> None:
    bench = Bench(max_queue_tokens=10_000, max_wait_s=2, tokens_per_s=10)
    try:
        await bench.shut_in(1)
        large = bench.job(*range(2, 52), time_left_s=1000)
        bench.batcher.reserve(large, tokens=100)
        bench.submit(60, time_left_s=1000)
        bench.batcher.put(large)
        bench.submit(61, time_left_s=1000)
    finally:
        bench.engine.gate.set()
        await asyncio.to_thread(bench.batcher.close)


async def test_a_speed_estimated_too_low_recovers_from_small_batches() -> None:
    bench = Bench(max_batch_tokens=1000, max_queue_tokens=10_000, tokens_per_s=0.01)
    try:
        for first in range(50):
            await bench.submit(first).future
        await bench.shut_in(1)
        bench.submit(2)
        bench.submit(3, tokens=50)
    finally:
        bench.engine.gate.set()
        await asyncio.to_thread(bench.batcher.close)


async def test_a_slow_engine_gets_smaller_batches_so_that_nobody_waits_long() -> None:
    bench = Bench(max_batch_tokens=80, max_queue_tokens=10_000, tokens_per_s=160)
    try:
        running = await bench.shut_in(1)
        jobs = [bench.submit(first, tokens=10, time_left_s=60) for first in range(2, 10)]
        # Long enough for the first forward to teach nothing: it was no faster than is thought.
        await asyncio.sleep(0.1)
        bench.engine.gate.set()
        await asyncio.gather(running.future, *(job.future for job in jobs))
    finally:
        await asyncio.to_thread(bench.batcher.close)
    # A quarter of a second at 160 tokens a second.
    assert bench.engine.batches[1] == [2, 3, 4, 5]


async def test_a_text_whose_time_passed_never_reaches_the_engine(bench: Bench) -> None:
    running = await bench.shut_in(1)
    late = bench.submit(2, 3, time_left_s=0.05)
    in_time = bench.submit(4)
    await asyncio.sleep(0.1)
    bench.engine.gate.set()
    with pytest.raises(DeadlineExceededError):
        await late.future
    await asyncio.gather(running.future, in_time.future)
    assert bench.engine.batches == [[1], [4]]
    assert bench.shed("deadline") == 1


async def test_a_discarded_request_never_reaches_the_engine_and_frees_its_room(bench: Bench) -> None:
    running = await bench.shut_in(1)
    gone = bench.submit(*range(20, 38))
    bench.batcher.discard(gone)
    others = bench.submit(*range(40, 58), tokens=2)
    bench.engine.gate.set()
    await asyncio.gather(running.future, others.future)
    assert not any(20 <= first < 38 for batch in bench.engine.batches for first in batch)


@pytest.mark.parametrize("bad", [POISON, NONSENSE])
async def test_a_text_that_the_engine_fails_on_fails_alone(bench: Bench, bad: int) -> None:
    running = await bench.shut_in(1)
    jobs = [bench.submit(first) for first in (2, bad, 4)]
    bench.engine.gate.set()
    results = await asyncio.gather(running.future, *(job.future for job in jobs), return_exceptions=True)
    assert [type(result) for result in results] == [Answer, Answer, InferenceFailedError, Answer]


async def test_the_other_texts_of_a_failed_request_are_dropped(bench: Bench) -> None:
    running = await bench.shut_in(1)
    job = bench.submit(POISON, *range(20, 36))
    bench.engine.gate.set()
    await running.future
    with pytest.raises(InferenceFailedError):
        await job.future
    answer = await bench.submit(5).future
    assert answer.scores.shape == (1, 2)
    assert not any(30 <= first < 36 for batch in bench.engine.batches for first in batch)


async def test_closing_finishes_what_waits_and_takes_nothing_new() -> None:
    bench = Bench()
    running = await bench.shut_in(1)
    waiting = bench.submit(2)
    closing = asyncio.ensure_future(asyncio.to_thread(bench.batcher.close))
    await asyncio.sleep(0.05)
    with pytest.raises(ShuttingDownError) as caught:
        bench.submit(3)
    assert caught.value.retry_after_s == 1
    bench.engine.gate.set()
    await asyncio.gather(running.future, waiting.future, closing)


async def test_metrics_count_batches_and_the_waiting_tokens(bench: Bench) -> None:
    running = await bench.shut_in(1)
    jobs = [bench.submit(first) for first in (2, 3)]
    assert bench.registry.get_sample_value("predictor_queue_tokens") == 4
    bench.engine.gate.set()
    await asyncio.gather(running.future, *(job.future for job in jobs))
    assert bench.registry.get_sample_value("predictor_queue_tokens") == 0
    assert bench.registry.get_sample_value("predictor_batch_texts_sum") == 3
    assert bench.registry.get_sample_value("predictor_batch_tokens_sum") == 6
    assert bench.registry.get_sample_value("predictor_inference_seconds_count") == 2
    assert bench.registry.get_sample_value("predictor_queue_seconds_count") == 3


def test_every_error_of_the_tree_has_a_status_and_a_slug() -> None:
    def below(kind: type[PredictorError]) -> set[type[PredictorError]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    for kind in below(PredictorError):
        assert 400 <= kind.status < 600
        assert kind.code.replace("_", "").isalpha()
        assert kind.retryable == (kind.status in {503, 504})
        assert set(kind("says").body()) == {"error", "code"}
