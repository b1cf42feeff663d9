import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest
from prometheus_client.registry import CollectorRegistry
from support.predictor_double import LABELS, scores

from transformer.cache.key import CacheKeys
from transformer.cache.tiers import UNREAD, MemoryCache, TieredCache
from transformer.errors import (
    PredictorNonsenseError,
    PredictorTimeoutError,
    PredictorUnavailableError,
    TransformerError,
)
from transformer.metrics import TEXT_OUTCOMES, Metrics
from transformer.pipeline.pipeline import Classified, Pipeline, RawHeaders, Scored


class Predictor:
    """Answers from the text and a version; a gate can hold calls back, ``fails`` makes them fail."""

    def __init__(self, *versions: str) -> None:
        self.versions = list(versions) or ["v1"]
        self.calls: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails: TransformerError | None = None

    async def score(self, texts: Sequence[str], headers: RawHeaders) -> Scored:
        version = self.versions[len(self.calls) % len(self.versions)]
        self.calls.append(list(texts))
        await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        return Scored(version, LABELS, [scores(text, version) for text in texts], frozenset())


class Rig:
    """A pipeline with its parts in reach."""

    def __init__(self, *versions: str) -> None:
        self.predictor = Predictor(*versions)
        self.metrics = Metrics()
        self.registry = CollectorRegistry()
        self.registry.register(self.metrics)
        self.pipeline = Pipeline(
            cache=TieredCache(memory=MemoryCache(entries=1_000, ttl_s=60), shared=None),
            predictor=self.predictor,
            keys=CacheKeys(),
            metrics=self.metrics,
        )

    async def ask(self, *texts: str) -> Classified:
        return await self.pipeline.classify(list(texts), [])

    def texts(self) -> Counter[str]:
        return Counter(
            {
                outcome: int(self.registry.get_sample_value("transformer_texts_total", {"outcome": outcome}) or 0)
                for outcome in TEXT_OUTCOMES
            }
        )


def assert_pure(classified: Classified, texts: Sequence[str]) -> None:
    """Every answer is the one version's own answer to the text in its place."""
    version = classified.model.version
    assert [answer.scores() for answer in classified.answers] == [scores(text, version) for text in texts]


async def test_only_misses_are_forwarded_in_one_call_and_order_is_kept() -> None:
    rig = Rig()
    await rig.ask(*"abcdefghi")
    answer = await rig.ask(*"ihgfXedcba")
    assert rig.predictor.calls == [list("abcdefghi"), ["X"]]
    assert_pure(answer, list("ihgfXedcba"))
    assert answer.outcome == "partial"


async def test_duplicates_are_computed_once() -> None:
    rig = Rig()
    answer = await rig.ask("a", "b", "a", "a")
    assert rig.predictor.calls == [["a", "b"]]
    assert_pure(answer, ["a", "b", "a", "a"])
    assert rig.texts() == Counter(miss=2, duplicate=2)


async def test_second_time_is_a_hit() -> None:
    rig = Rig()
    assert (await rig.ask("a")).outcome == "miss"
    assert (await rig.ask("a")).outcome == "hit"
    assert len(rig.predictor.calls) == 1


async def test_hundred_concurrent_requests_for_a_cold_text_make_one_forward() -> None:
    rig = Rig()
    rig.predictor.gate.clear()
    waiting = [asyncio.create_task(rig.ask("cold", f"own {n % 2}")) for n in range(100)]
    await asyncio.sleep(0)
    rig.predictor.gate.set()
    for answer, n in zip(await asyncio.gather(*waiting), range(100), strict=True):
        assert_pure(answer, ["cold", f"own {n % 2}"])
    assert sorted(text for call in rig.predictor.calls for text in call) == ["cold", "own 0", "own 1"]
    assert rig.texts() == Counter(miss=3, coalesced=197)


async def test_failed_flight_fails_every_waiter_and_is_not_cached() -> None:
    rig = Rig()
    rig.predictor.gate.clear()
    rig.predictor.fails = PredictorTimeoutError()
    waiting = [asyncio.create_task(rig.ask("cold")) for _ in range(10)]
    await asyncio.sleep(0)
    rig.predictor.gate.set()
    for outcome in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(outcome, PredictorTimeoutError)
    assert len(rig.predictor.calls) == 1
    rig.predictor.fails = None
    assert_pure(await rig.ask("cold"), ["cold"])
    assert len(rig.predictor.calls) == 2


async def test_cancelled_waiter_does_not_cancel_the_flight() -> None:
    rig = Rig()
    rig.predictor.gate.clear()
    first, second = asyncio.create_task(rig.ask("cold")), asyncio.create_task(rig.ask("cold"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    rig.predictor.gate.set()
    assert_pure(await second, ["cold"])
    assert first.cancelled()
    assert (await rig.ask("cold")).outcome == "hit"
    assert len(rig.predictor.calls) == 1


async def test_flight_whose_waiters_all_left_still_fills_the_cache() -> None:
    rig = Rig()
    rig.predictor.gate.clear()
    only = asyncio.create_task(rig.ask("cold"))
    await asyncio.sleep(0)
    only.cancel()
    await asyncio.gather(only, return_exceptions=True)
    rig.predictor.gate.set()
    await rig.pipeline.close()
    assert (await rig.ask("cold")).outcome == "hit"


async def test_outcomes_add_up_to_texts_received() -> None:
    rig = Rig()
    received = 0
    for request in (["a"], ["a", "b"], ["b", "b", "c"], ["a", "b", "c"]):
        await rig.ask(*request)
        received += len(request)
    rig.predictor.fails = PredictorTimeoutError()
    with pytest.raises(PredictorTimeoutError):
        await rig.ask("d", "a")
    assert sum(rig.texts().values()) == received + 2
    assert rig.texts() == Counter(hit_l1=1 + 1 + 3 + 1, miss=1 + 1 + 1 + 1, duplicate=1)


async def test_hits_need_no_predictor() -> None:
    rig = Rig()
    await rig.ask("a")
    rig.predictor.fails = PredictorTimeoutError()
    assert (await rig.ask("a")).outcome == "hit"


@pytest.mark.parametrize("versions", [("v1", "v2"), ("v1", "v2", "v3"), ("v1", "v1", "v2"), ("v2", "v1", "v1", "v3")])
async def test_alternating_versions_never_mix_in_an_answer(versions: tuple[str, ...]) -> None:
    rig = Rig(*versions)
    for round_ in range(30):
        texts = [f"t{(round_ * 7 + n * n) % 20}" for n in range(6)]
        assert_pure(await rig.ask(*texts), texts)


async def test_concurrent_requests_under_alternating_versions_never_mix() -> None:
    rig = Rig("v1", "v2")
    requests = [[f"t{(n * 3 + k) % 12}" for k in range(5)] for n in range(40)]
    for request, answer in zip(requests, await asyncio.gather(*(rig.ask(*r) for r in requests)), strict=True):
        assert_pure(answer, request)


async def test_both_versions_stay_cached_during_a_canary() -> None:
    rig = Rig("v1", "v2")
    await rig.ask("a")  # v1
    await rig.ask("x")  # v2 takes over
    await rig.ask("a")  # unknown under v2, so asked: v1 answers again
    calls = len(rig.predictor.calls)
    assert (await rig.ask("a")).model.version == "v1"
    rig.pipeline.adopt("v2", LABELS)
    assert (await rig.ask("x")).model.version == "v2"
    assert len(rig.predictor.calls) == calls


async def test_scores_that_are_none_are_the_predictors_fault() -> None:
    rig = Rig()

    async def score(texts: Sequence[str], headers: RawHeaders) -> Scored:
        return Scored("v1", LABELS, [[2.0, -1.0] for _ in texts], frozenset())

    rig.predictor.score = score  # type: ignore[method-assign]
    with pytest.raises(PredictorNonsenseError):
        await rig.ask("a")


async def test_truncated_texts_are_counted_on_hits_too() -> None:
    rig = Rig()

    async def score(texts: Sequence[str], headers: RawHeaders) -> Scored:
        return Scored("v1", LABELS, [[0.5, 0.5] for _ in texts], frozenset({1}))

    rig.predictor.score = score  # type: ignore[method-assign]
    assert (await rig.ask("short", "long")).truncated == 1
    again = await rig.ask("long", "short", "long")
    assert (again.outcome, again.truncated) == ("hit", 2)


class ShakyRedis:
    """A shared store whose first look-ups cannot be read; patient ones can."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.readable = True
        self.patient = 0

    async def fetch(self, keys: Sequence[bytes], *, patient: bool = False) -> list[bytes | None]:
        self.patient += patient
        return [self.values.get(key) if self.readable or patient else UNREAD for key in keys]

    def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        self.values.update(values)


def shaky_rig() -> tuple[Rig, ShakyRedis]:
    rig, redis = Rig(), ShakyRedis()
    rig.pipeline._cache = TieredCache(memory=MemoryCache(entries=0, ttl_s=60), shared=redis)
    return rig, redis


async def test_cached_answer_is_looked_for_again_when_the_look_up_was_cut_short_and_the_predictor_is_away() -> None:
    rig, redis = shaky_rig()
    await rig.ask("a", "b")
    redis.readable = False
    rig.predictor.fails = PredictorUnavailableError()
    answer = await rig.ask("b", "a")
    assert_pure(answer, ["b", "a"])
    with pytest.raises(PredictorUnavailableError):
        await rig.ask("a", "new")


async def test_absence_that_is_certain_is_not_looked_up_twice() -> None:
    rig, redis = shaky_rig()
    await rig.ask("a")
    rig.predictor.fails = PredictorUnavailableError()
    with pytest.raises(PredictorUnavailableError):
        await rig.ask("new")
    assert redis.patient == 0


async def test_version_that_comes_with_nonsense_is_not_put_in_force() -> None:
    rig = Rig()
    await rig.ask("a")
    rig.predictor.score = nonsense  # type: ignore[method-assign]
    with pytest.raises(PredictorNonsenseError):
        await rig.ask("b")
    assert (await rig.ask("a")).outcome == "hit"


async def nonsense(texts: Sequence[str], headers: RawHeaders) -> Scored:
    return Scored("evil", LABELS, [(7.0, -6.0)] * len(texts), frozenset())


async def test_presumed_version_serves_what_is_cached_until_the_predictor_has_spoken() -> None:
    rig = Rig()
    await rig.ask("a")
    late = Pipeline(cache=rig.pipeline._cache, predictor=rig.predictor, keys=CacheKeys(), metrics=rig.metrics)
    late.presume("v1", LABELS)
    assert not late.confirmed
    assert (await late.classify(["a"], [])).outcome == "hit"
    rig.predictor.versions = ["v2"]
    assert (await late.classify(["b"], [])).model.version == "v2"
    assert late.confirmed
    late.presume("v1", LABELS)
    assert late.model is not None
    assert late.model.version == "v2"


async def test_what_the_predictor_says_is_noted() -> None:
    noted: list[tuple[str, tuple[str, ...]]] = []
    rig = Rig("v1", "v2")
    rig.pipeline._note = lambda version, labels: noted.append((version, tuple(labels)))
    await rig.ask("a")
    await rig.ask("a")
    await rig.ask("b")
    assert noted == [("v1", LABELS), ("v2", LABELS)]
