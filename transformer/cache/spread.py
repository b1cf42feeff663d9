"""Look-ups and writes over many shards, each key at the shard that has its slot."""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence

from transformer.cache.look_up import Part, Scattered
from transformer.cache.shard import Shard
from transformer.cache.slots import slot_of
from transformer.cache.tiers import UNREAD

Slots = Sequence[Shard | None]
"""The shard of every slot; None for a slot that no shard serves."""


def fetch(slots: Slots, keys: Sequence[bytes], *, patient: bool) -> Awaitable[list[bytes | None]]:
    """Give the value of every key, None if there is none, ``UNREAD`` if its shard cannot be used now."""
    if patient:
        return _fetch_patiently(slots, keys)
    whole = Scattered(len(keys))
    parts: dict[int, tuple[Shard, Part]] = {}
    for place, key in enumerate(keys):
        shard = slots[slot_of(key)]
        if shard is None:
            continue
        known = parts.get(id(shard))
        if known is None:
            known = parts[id(shard)] = shard, Part(whole)
        known[1].keys.append(key)
        known[1].places.append(place)
    for shard, part in parts.values():
        if shard.cache.ask(part):
            whole.awaited += 1
    if not whole.awaited:
        whole.done.set_result(whole.values)
    return whole.done


async def _fetch_patiently(slots: Slots, keys: Sequence[bytes]) -> list[bytes | None]:
    parts: dict[int, tuple[Shard, list[bytes]]] = {}
    for key in keys:
        shard = slots[slot_of(key)]
        if shard is not None:
            parts.setdefault(id(shard), (shard, []))[1].append(key)
    fetched = await asyncio.gather(*(shard.cache.fetch(part, patient=True) for shard, part in parts.values()))
    found: dict[bytes, bytes | None] = {}
    for (_, part_keys), values in zip(parts.values(), fetched, strict=True):
        found.update(zip(part_keys, values, strict=True))
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
