"""The record of the model version in force: what is written is read, and nothing else is believed."""

from collections.abc import Iterable, Sequence

import orjson
import pytest

from transformer.cache.in_force import IN_FORCE_KEY, InForceRecord
from transformer.cache.key import SEAL_BYTES, CacheKeys

SECRET = CacheKeys(secret=b"secret")


class Shared:
    """Keeps values, and how often they were written."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.writes = 0

    async def fetch(self, keys: Sequence[bytes], *, patient: bool = False) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]

    def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        self.writes += 1
        self.values.update(values)


async def test_what_is_noted_is_read_by_another() -> None:
    shared = Shared()
    InForceRecord(shared=shared, keys=SECRET).note("abc123", ["NO", "YES"])
    assert await InForceRecord(shared=shared, keys=SECRET).read() == ("abc123", ["NO", "YES"])


async def test_record_of_one_who_does_not_know_the_secret_is_not_believed() -> None:
    shared = Shared()
    for stranger in (CacheKeys(), CacheKeys(secret=b"other")):
        InForceRecord(shared=shared, keys=stranger).note("abc123", ["NO", "YES"])
        assert await InForceRecord(shared=shared, keys=SECRET).read() is None


def sealed(content: object) -> bytes:
    raw = content if isinstance(content, bytes) else orjson.dumps(content)
    return SECRET.seal(raw) + raw


@pytest.mark.parametrize(
    "value",
    [
        b"", b"x" * SEAL_BYTES, b"x" * 100, sealed(b"{"), sealed([]), sealed(None), sealed({}),
        sealed({"version": "a b", "labels": ["A"]}), sealed({"version": "", "labels": ["A"]}),
        sealed({"version": "a", "labels": []}), sealed({"version": "a", "labels": [1]}),
        sealed({"version": "a", "labels": "A"}), sealed({"version": "a", "labels": ["A" * 20_000]}),
        sealed({"version": "a", "labels": ["A"]})[:-1],
    ],
)  # fmt: skip
async def test_anything_else_is_no_record(value: bytes) -> None:
    shared = Shared()
    shared.values[IN_FORCE_KEY] = value
    assert await InForceRecord(shared=shared, keys=SECRET).read() is None


def test_is_written_rarely() -> None:
    shared, now = Shared(), [0.0]
    record = InForceRecord(shared=shared, keys=SECRET, clock=lambda: now[0])
    for n in range(200):  # twenty seconds of one version: now and then
        now[0] = n / 10
        record.note("v1", ["A"])
    assert shared.writes == 2
    for n in range(100):  # ten seconds of two in turn: once a second at most
        now[0] = 20 + n / 10
        record.note(f"v{n % 2}", ["A"])
    assert shared.writes <= 2 + 10
