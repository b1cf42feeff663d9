from collections.abc import Iterable, Sequence

from transformer.cache.key import CacheKeys
from transformer.cache.sealed import Seal
from transformer.cache.tiers import UNREAD, MemoryCache, TieredCache
from transformer.metrics import RedisMetrics
from transformer.pipeline.answer import Answer, Model

MODEL = Model(version="v", labels=("a", "b"), prefix=b"")
ANSWER = MODEL.answer([0.5, 0.5], truncated=False)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Shared:
    """A second tier that remembers what it was asked and told."""

    def __init__(self, values: dict[bytes, bytes] | None = None) -> None:
        self.values = values or {}
        self.asked: list[list[bytes]] = []

    async def fetch(self, keys: Sequence[bytes], *, patient: bool = False) -> list[bytes | None]:
        self.asked.append(list(keys))
        return [self.values.get(key) for key in keys]

    def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        self.values.update(values)


def test_answer_is_kept_until_it_is_too_old() -> None:
    clock = Clock()
    memory = MemoryCache(entries=2, ttl_s=10, clock=clock)
    memory.put(b"k", ANSWER)
    clock.now_s = 8.9
    assert memory.get(b"k") == ANSWER
    clock.now_s = 10.1
    assert memory.get(b"k") is None
    assert len(memory) == 0


def test_oldest_goes_first_and_the_bound_holds() -> None:
    memory = MemoryCache(entries=2, ttl_s=10)
    for key in (b"1", b"2", b"1", b"3"):
        memory.put(key, ANSWER)
    assert len(memory) == 2
    assert memory.get(b"2") is None
    assert memory.get(b"1") is not None


def test_no_entries_means_no_memory() -> None:
    memory = MemoryCache(entries=0, ttl_s=10)
    memory.put(b"k", ANSWER)
    assert memory.get(b"k") is None


async def test_found_in_the_second_tier_moves_into_the_first() -> None:
    shared = Shared({b"k": ANSWER.value})
    cache = TieredCache(memory=MemoryCache(entries=9, ttl_s=10), shared=shared)
    assert cache.peek(b"k") is None
    assert await cache.fetch([b"x", b"k"], MODEL.read_all) == [None, ANSWER]
    assert cache.peek(b"k") == ANSWER


async def test_garbage_in_the_second_tier_is_absence() -> None:
    cache = TieredCache(memory=MemoryCache(entries=9, ttl_s=10), shared=Shared({b"k": b"garbage"}))
    assert await cache.fetch([b"k"], MODEL.read_all) == [None]
    assert cache.peek(b"k") is None


async def test_stored_answers_are_in_both_tiers() -> None:
    shared = Shared()
    cache = TieredCache(memory=MemoryCache(entries=9, ttl_s=10), shared=shared)
    cache.store([(b"k", ANSWER)])
    assert cache.peek(b"k") == ANSWER
    assert shared.values == {b"k": ANSWER.value}


async def test_second_tier_is_believed_only_what_was_sealed_for_the_very_key() -> None:
    metrics = RedisMetrics()
    seal, other = (Seal(keys=CacheKeys(secret=secret), metrics=metrics) for secret in (b"secret", b"guess"))
    shared = Shared()
    memory = MemoryCache(entries=0, ttl_s=10)
    TieredCache(memory=memory, shared=shared, seal=other).store([(b"forged", ANSWER)])
    cache = TieredCache(memory=memory, shared=shared, seal=seal)
    cache.store([(b"k", ANSWER)])
    shared.values |= {b"moved": shared.values[b"k"], b"bare": ANSWER.value, b"unread": UNREAD}
    seen: list[bytes | None] = []

    def read_all(values: Sequence[bytes | None]) -> list[Answer | None]:
        seen.extend(values)
        return MODEL.read_all(values)

    keys = [b"k", b"forged", b"moved", b"bare", b"unread", b"absent"]
    assert await cache.fetch(keys, read_all) == [ANSWER, None, None, None, None, None]
    assert seen == [ANSWER.value, None, None, None, UNREAD, None]
    assert metrics._errors == {("read", "forged"): 3}


async def test_first_tier_alone_works() -> None:
    cache = TieredCache(memory=MemoryCache(entries=9, ttl_s=10), shared=None)
    cache.store([(b"k", ANSWER)])
    assert cache.peek(b"k") == ANSWER
    assert await cache.fetch([b"x"], MODEL.read_all) == [None]


def test_life_in_memory_varies_so_that_not_all_end_at_once() -> None:
    clock = Clock()
    memory = MemoryCache(entries=1_000, ttl_s=100, clock=clock)
    for n in range(500):
        memory.put(b"%d" % n, ANSWER)
    clock.now_s = 95
    alive = sum(memory.get(b"%d" % n) is not None for n in range(500))
    assert 100 < alive < 400


def test_answer_is_a_plain_value() -> None:
    assert isinstance(ANSWER, Answer)
