"""Look-ups and writes over many shards, each key at the shard that has its slot."""

import asyncio
from collections.abc import Iterable, Sequence

from transformer.cache.shard import Shard
from transformer.cache.slots import slot_of
from transformer.cache.tiers import UNREAD

Slots = Sequence[Shard | None]
"""The shard of every slot; None for a slot that no shard serves."""


async def fetch(slots: Slots, keys: Sequence[bytes], *, patient: bool) -> list[bytes | None]:
    """Give the value of every key, None if there is none, ``UNREAD`` if its shard cannot be used now."""
    parts: dict[int, tuple[Shard, list[bytes]]] = {}
    for key in keys:
        shard = slots[slot_of(key)]
        if shard is not None:
            part = parts.get(id(shard))
            if part is None:
                parts[id(shard)] = shard, [key]
            else:
                part[1].append(key)
    found: dict[bytes, bytes | None] = {}
    if patient:
        fetched = await asyncio.gather(*(shard.cache.fetch(part, patient=True) for shard, part in parts.values()))
        for (_, part_keys), values in zip(parts.values(), fetched, strict=True):
            found.update(zip(part_keys, values, strict=True))
    else:
        # Ask all before waiting for any.
        asked = [(part_keys, shard.cache.ask(part_keys)) for shard, part_keys in parts.values()]
        for part_keys, answer in asked:
            if answer is not None:
                found.update(zip(part_keys, await answer, strict=True))
    return [found.get(key, UNREAD) for key in keys]


def store(slots: Slots, values: Iterable[tuple[bytes, bytes]]) -> None:
    """Queue values for writing, each with its shard."""
    parts: dict[int, tuple[Shard, list[tuple[bytes, bytes]]]] = {}
    for key, value in values:
        shard = slots[slot_of(key)]
        if shard is not None:
            parts.setdefault(id(shard), (shard, []))[1].append((key, value))
    for shard, part in parts.values():
        shard.cache.store(part)
