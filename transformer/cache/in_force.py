"""Keeps the model version in force in Redis, for a process that starts while the predictor is away.

Without the version nothing can be looked up, and a cached answer would fail for the predictor's fault. The record is a
hint like every value in Redis: sealed, checked on reading, and used only until the predictor itself has spoken.
"""

import hmac
import time
from collections.abc import Callable, Sequence

import orjson

from transformer.cache.key import SEAL_BYTES, CacheKeys
from transformer.cache.tiers import SharedCache
from transformer.protocol.schema import model_labels, model_version

IN_FORCE_KEY = b"sentiment:1:in-force"
_LARGEST_RECORD_BYTES = 16_384
# Answers live minutes, so does the record: it is renewed as long as forwards come.
_RENEW_S = 10.0
_CHANGE_S = 1.0  # two versions that answer in turn are not worth a write each


class InForceRecord:
    """Reads and writes the record ``seal + {"version", "labels"}``.

    Args:
        shared: where it is kept, as long as an answer.
        keys: seals it; with a cache secret nobody else can.
        clock: monotonic seconds.
    """

    def __init__(self, *, shared: SharedCache, keys: CacheKeys, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._keys = keys
        self._clock = clock
        self._noted: str | None = None
        self._noted_at_s = float("-inf")

    async def read(self) -> tuple[str, list[str]] | None:
        """Give the version and its labels in class order; None when there is no sound record."""
        (value,) = await self._shared.fetch([IN_FORCE_KEY])
        if value is None or not SEAL_BYTES < len(value) <= _LARGEST_RECORD_BYTES:
            return None
        seal, content = value[:SEAL_BYTES], value[SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._keys.seal(content)):
            return None
        try:
            said = orjson.loads(content)
            return model_version(said["version"]), model_labels(said["labels"])
        except (ValueError, KeyError, TypeError):
            return None

    def note(self, version: str, labels: Sequence[str]) -> None:
        """Keep what the predictor just said; returns at once and writes rarely."""
        now_s = self._clock()
        if now_s - self._noted_at_s < (_RENEW_S if version == self._noted else _CHANGE_S):
            return
        self._noted, self._noted_at_s = version, now_s
        content = orjson.dumps({"version": version, "labels": list(labels)})
        self._shared.store([(IN_FORCE_KEY, self._keys.seal(content) + content)])
