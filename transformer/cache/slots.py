"""Reads a cluster's slot table: which primary serves which slots. Pure."""

from binascii import crc_hqx
from collections.abc import Sequence
from typing import Any, NamedTuple

from redis.crc import REDIS_CLUSTER_HASH_SLOTS

from transformer.cache.redis_client import Address

SLOTS = REDIS_CLUSTER_HASH_SLOTS
_UNKNOWN_HOSTS = (None, b"", b"?")


def slot_of(key: bytes) -> int:
    """Give the slot of a key without braces (ours have none): in a key with braces only their content would count."""
    slot: int = crc_hqx(key, 0) & (SLOTS - 1)
    return slot


class SlotRange(NamedTuple):
    """Slots ``first`` to ``last``, both included, and the primary that serves them."""

    first: int
    last: int
    primary: Address


def read_slots(said: Sequence[Any], *, asked: Address) -> list[SlotRange]:
    """Read the answer to CLUSTER SLOTS.

    Args:
        said: lists of first slot, last slot, primary, replicas; a node is host, port and more.
        asked: the node that answered; its address stands in for hosts it does not know.

    Raises:
        ValueError: the answer is malformed.
    """
    try:
        ranges = []
        for first, last, (host, port, *_), *_replicas in said:
            name = asked.host if host in _UNKNOWN_HOSTS else host.decode()
            ranges.append(SlotRange(int(first), int(last), Address(name, int(port))))
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError("the answer to CLUSTER SLOTS has an unknown form") from error
    if any(not 0 <= each.first <= each.last < SLOTS for each in ranges):
        raise ValueError("CLUSTER SLOTS names slots that do not exist")
    return ranges


def probe_keys(ranges: Sequence[SlotRange], prefix: bytes) -> dict[Address, bytes]:
    """Give each primary a key that lies in one of its slots."""
    owner: dict[int, Address] = {}
    for first, last, primary in ranges:
        owner.update(dict.fromkeys(range(first, last + 1), primary))
    wanted = {each.primary for each in ranges}
    keys: dict[Address, bytes] = {}
    n = 0
    while len(keys) < len(wanted):
        key = b"%b:%d" % (prefix, n)
        primary_of_key = owner.get(slot_of(key))
        if primary_of_key is not None:
            keys.setdefault(primary_of_key, key)
        n += 1
    return keys
