"""One request's look-up while it waits: for one Redis, or in parts for the shards of a cluster."""

import asyncio
from collections.abc import Mapping, Sequence

from transformer.cache.tiers import UNREAD

Values = Mapping[bytes, bytes | None]
"""What a round trip brought; a key that is absent could not be read."""


class LookUp:
    """Keys that one Redis is asked for.

    Args:
        keys: what is looked up.

    Attributes:
        done: gets the value of every key, in order.
    """

    __slots__ = ("done", "keys")

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = keys
        self.done: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()

    def answer(self, values: Values) -> None:
        """Take what came of it."""
        if not self.done.done():
            self.done.set_result([values.get(key, UNREAD) for key in self.keys])


class Scattered:
    """Keys that several shards are asked for: whoever asked is woken once, when all have answered.

    Args:
        count: how many keys.

    Attributes:
        done: gets the value of every key, in order; ``UNREAD`` where no shard was asked.
        values: the same, as far as it is known.
        awaited: how many parts are out.
    """

    __slots__ = ("awaited", "done", "values")

    def __init__(self, count: int) -> None:
        self.done: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        self.values: list[bytes | None] = [UNREAD] * count
        self.awaited = 0


class Part:
    """Those of a look-up's keys that one shard is asked for.

    Args:
        whole: what it is a part of.

    Attributes:
        keys: what is looked up.
        places: where each key stands in the whole.
    """

    __slots__ = ("_whole", "keys", "places")

    def __init__(self, whole: Scattered) -> None:
        self._whole = whole
        self.keys: list[bytes] = []
        self.places: list[int] = []

    def answer(self, values: Values) -> None:
        """Take what came of it."""
        whole = self._whole
        known = whole.values
        for place, key in zip(self.places, self.keys, strict=True):
            known[place] = values.get(key, UNREAD)
        whole.awaited -= 1
        if not whole.awaited and not whole.done.done():
            whole.done.set_result(known)
