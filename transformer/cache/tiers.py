"""The two tiers of the cache: answers in the process (L1) over values in Redis (L2)."""

import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol

from transformer.cache.sealed import Seal
from transformer.pipeline.answer import Answer

UNREAD = b""
"""Stands for a value that could not be read, though it may exist. No answer is empty."""


class SharedCache(Protocol):
    """A store outside the process that never fails a caller: failures read as absence."""

    def fetch(self, keys: Sequence[bytes], *, patient: bool = False) -> Awaitable[list[bytes | None]]:
        """Give the value of every key, None if there is none, ``UNREAD`` if that is not known.

        Args:
            keys: what to look up.
            patient: try hard, for requests with no other way.
        """

    def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        """Queue keys with values for writing; returns at once."""


class MemoryCache:
    """Answers kept in the process, bounded by number and age; the oldest entry goes first.

    Args:
        entries: most answers kept; 0 keeps none.
        ttl_s: life of an answer in seconds, shortened by up to 10 % at random so that they do not all expire at once.
        clock: monotonic seconds.
    """

    def __init__(self, *, entries: int, ttl_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._entries = entries
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: dict[bytes, tuple[float, Answer]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> Answer | None:
        """Give the answer of a key, None if absent or too old."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        if entry[0] < self._clock():
            del self._kept[key]
            return None
        return entry[1]

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer; makes room by dropping the oldest."""
        if not self._entries:
            return
        self._kept.pop(key, None)  # so that a renewed entry counts as new
        while len(self._kept) >= self._entries:
            del self._kept[next(iter(self._kept))]
        life_s = self._ttl_s * random.uniform(0.9, 1.0)  # noqa: S311  # spreads expiry, guards nothing
        self._kept[key] = (self._clock() + life_s, answer)


class TieredCache:
    """L1 in front of an optional L2, with one key for both.

    Args:
        memory: the first tier.
        shared: the second tier, None for the first alone.
        seal: what values in the second tier are sealed with, None for nothing.
    """

    def __init__(self, *, memory: MemoryCache, shared: SharedCache | None, seal: Seal | None = None) -> None:
        self._memory = memory
        self._shared = shared
        self._seal = seal
        # The hot path's look-up, bound once.
        self.peek = memory.get

    async def fetch(
        self,
        keys: Sequence[bytes],
        read_all: Callable[[Sequence[bytes | None]], list[Answer | None]],
        *,
        patient: bool = False,
    ) -> list[Answer | None]:
        """Look keys up in L2; what is found moves into L1.

        Args:
            keys: keys absent from L1.
            read_all: turns stored values into answers, None for absence and garbage.
            patient: wait longer than usual.

        Returns:
            An answer or None per key, in order.
        """
        if self._shared is None:
            return [None] * len(keys)
        values = await self._shared.fetch(keys, patient=patient)
        answers = read_all(self._seal.opened(keys, values) if self._seal else values)
        for key, answer in zip(keys, answers, strict=True):
            if answer is not None:
                self._memory.put(key, answer)
        return answers

    def store(self, answers: Sequence[tuple[bytes, Answer]]) -> None:
        """Keep answers in L1 now and in L2 soon."""
        for key, answer in answers:
            self._memory.put(key, answer)
        if self._shared is not None:
            values = ((key, answer.value) for key, answer in answers)
            self._shared.store(self._seal.sealed(values) if self._seal else values)
