"""The operator's command: inspects the cache, empties it by model version, fills it through the service.

Reads the transformer's own settings, the only place beside ``server.py`` that does. Scans in slices at a limited rate,
one primary after the other if Redis is a cluster.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from transformer.cache.connections import Connections
from transformer.cache.redis_client import Address, RedisClient
from transformer.cache.slots import read_slots
from transformer.cache.trouble import trouble_of
from transformer.settings import Settings

_ENTRIES = "sentiment:1:{version}:*"
_SLICE = 500
# MEMORY USAGE leaves out an entry's place in the table of expiry times.
_LIFE_BYTES = 40
_TEXTS_A_REQUEST = 64


class Cache:
    """All primaries of the settings' Redis.

    Args:
        connections: makes pools.
        per_second: most keys scanned or deleted in a second.
    """

    def __init__(self, *, connections: Connections, per_second: int) -> None:
        self._connections = connections
        self._per_second = per_second

    async def primaries(self) -> "list[Redis[bytes]]":
        """Give a client for each primary; a single one if Redis is no cluster."""
        door = RedisClient(pool=self._connections.pool(), address=self._connections.address)
        addresses: set[Address | None] = {None}
        try:
            said = await door.slots()
            if said and door.address is not None:
                addresses = {each.primary for each in read_slots(said, asked=door.address)}
        except ResponseError:
            pass  # no cluster, or no permission to ask: then the URL's Redis is all there is to see
        finally:
            await door.close()
        return [Redis(connection_pool=self._connections.pool(address)) for address in sorted(addresses, key=str)]

    async def slices(self, client: "Redis[bytes]", version: str = "*") -> AsyncIterator[list[bytes]]:
        """Scan the keys of answers, slice by slice, at the set pace."""
        cursor = 0
        while True:
            started = time.monotonic()
            cursor, keys = await client.scan(cursor, match=_ENTRIES.format(version=version), count=_SLICE)
            yield keys
            if not cursor:
                return
            await asyncio.sleep(max(0.0, _SLICE / self._per_second - (time.monotonic() - started)))


@dataclass(kw_only=True)
class Seen:
    """What a scan found: entries by version, sampled memory by version, and Redis' own count of hits."""

    counts: Counter[str] = field(default_factory=Counter)
    taken: dict[str, list[int]] = field(default_factory=dict)
    hits: int = 0
    misses: int = 0
    told: bool = True


async def stats(cache: Cache, *, sample: int) -> Seen:
    """Print entries by model version, a sample of them, memory and hit ratio."""
    seen = Seen()
    for client in await cache.primaries():
        for version, keys in (await _draw(cache, client, seen, sample=sample)).items():
            await _show(client, seen.taken.setdefault(version, []), keys)
        try:
            said = await client.info("stats")
            seen.hits, seen.misses = seen.hits + said["keyspace_hits"], seen.misses + said["keyspace_misses"]
        except ResponseError:
            seen.told = False
        await client.aclose(close_connection_pool=True)
    for version, count in seen.counts.most_common():
        each = seen.taken.get(version)
        print(f"version {version}: {count} entries" + (f", {sum(each) / len(each):.0f} bytes each" if each else ""))
    print(f"entries: {seen.counts.total()}")
    if not seen.told:
        print("hit ratio: the user may not ask (INFO); the metric transformer_texts_total has the service's own")
    elif asked := seen.hits + seen.misses:
        print(f"hit ratio: {seen.hits / asked:.1%} of {asked} keys asked for since Redis started")
    return seen


async def _draw(cache: Cache, client: "Redis[bytes]", seen: Seen, *, sample: int) -> dict[str, list[bytes]]:
    """Count a primary's entries; give a uniform random sample of each version."""
    drawn: dict[str, list[bytes]] = {}
    here: Counter[str] = Counter()
    async for keys in cache.slices(client):
        for key in keys:
            version = key.split(b":")[2].decode()
            here[version] += 1
            kept = drawn.setdefault(version, [])
            if len(kept) < sample:
                kept.append(key)
            elif (place := random.randrange(here[version])) < sample:  # noqa: S311  # guards nothing
                kept[place] = key
    seen.counts.update(here)
    return drawn


async def _show(client: "Redis[bytes]", taken: list[int], keys: Sequence[bytes]) -> None:
    for key in keys:
        used, left_ms, value = await client.memory_usage(key), await client.pttl(key), await client.get(key)
        if used is None or value is None:
            continue  # it ended meanwhile
        taken.append(used + _LIFE_BYTES)
        print(f"{key.decode()}  {len(value)} bytes, {taken[-1]} in memory, {left_ms / 1000:.0f} s left")


async def size(cache: Cache, *, entries: int) -> None:
    """Print how much memory ``entries`` need, going by the entries there are now."""
    taken = [used for each in (await stats(cache, sample=50)).taken.values() for used in each]
    if not taken:
        raise ValueError("the cache is empty: there is nothing to measure")
    needed_mib = entries * sum(taken) / len(taken) / 2**20
    print(f"{entries} entries need {needed_mib:.1f} MiB, plus about 10 % for the rest of Redis")


async def delete(cache: Cache, *, version: str) -> None:
    """Delete a model version's entries."""
    if not version.isalnum():
        raise ValueError("a version is letters and digits")
    deleted = 0
    for client in await cache.primaries():
        async for keys in cache.slices(client, version):
            # One command a key, in one pipeline: in a cluster a command's keys must share a slot.
            async with client.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.unlink(key)
                deleted += sum(await pipe.execute())
        await client.aclose(close_connection_pool=True)
    print(f"deleted: {deleted}")


async def warm(*, lines: Sequence[str], url: str, per_second: int) -> None:
    """Send lines to the service, a few at a time, so that they are cached."""
    texts = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    outcomes: Counter[str] = Counter()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        for start in range(0, len(texts), _TEXTS_A_REQUEST):
            some = texts[start : start + _TEXTS_A_REQUEST]
            async with session.post(f"{url.rstrip('/')}/predict", json={"text": some}) as answer:
                if answer.status != 200:  # HTTP's own number
                    raise ValueError(f"the service answered {answer.status}: {(await answer.text())[:200]}")
                outcomes[answer.headers.get("x-cache", "?")] += 1
            await asyncio.sleep(len(some) / per_second)
    said = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    print(f"sent: {len(texts)} texts in {outcomes.total()} requests ({said})")


def options() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog="python -m transformer.cache_admin", description="Looks after the cache.")
    parser.add_argument("--per-second", type=int, default=20_000, help="most keys scanned, or texts sent, in a second")
    commands = parser.add_subparsers(dest="command", required=True)
    counting = commands.add_parser("stats", help="entries by model version, a sample, memory, hit ratio")
    counting.add_argument("--sample", type=int, default=5, help="entries to show for each version and primary")
    sizing = commands.add_parser("size", help="memory that a number of entries needs")
    sizing.add_argument("entries", type=int)
    deleting = commands.add_parser("delete", help="remove a model version's entries")
    deleting.add_argument("version")
    warming = commands.add_parser("warm", help="send a file's lines to the service")
    warming.add_argument("file", type=Path)
    warming.add_argument("--url", required=True, help="the service's")
    return parser


async def run(chosen: argparse.Namespace) -> None:
    """Do what the command line says."""
    if chosen.command == "warm":
        lines = (await asyncio.to_thread(chosen.file.read_text)).splitlines()
        await warm(lines=lines, url=chosen.url, per_second=chosen.per_second)
        return
    cache = Cache(connections=Connections(Settings()), per_second=chosen.per_second)
    if chosen.command == "stats":
        await stats(cache, sample=chosen.sample)
    elif chosen.command == "size":
        await size(cache, entries=chosen.entries)
    else:
        await delete(cache, version=chosen.version)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run; exit with one sentence if that fails."""
    try:
        asyncio.run(run(options().parse_args(arguments)))
    except RedisError as error:
        found = trouble_of(error)
        sys.exit(f"redis {found.trouble.message}" + (f": {found.command}" if found.command else ""))
    except (ValueError, OSError, aiohttp.ClientError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
