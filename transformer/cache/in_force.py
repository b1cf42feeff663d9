"""Keeps the model version in force in Redis, for a process that starts while the predictor is away.

Without the version nothing can be looked up, and cached answers would fail because the predictor does. The record is
untrusted like every value in Redis: sealed, checked on reading, and used only until the predictor itself has answered.
"""

import hmac
import time
from collections.abc import Callable, Sequence

import orjson

from serving.scores import ScoresAre
from transformer.cache.key import SEAL_BYTES, CacheKeys
from transformer.cache.tiers import SharedCache
from transformer.pipeline.model_names import model_labels, model_scores_are, model_version

IN_FORCE_KEY = b"sentiment:1:in-force"
_LARGEST_RECORD_BYTES = 16_384
# Answers live for minutes, and so does the record: forwards keep renewing it.
_RENEW_S = 10.0
_CHANGE_S = 1.0  # two versions that answer in turn do not deserve a write each


class InForceRecord:
    """Reads and writes the record ``seal + {"version", "labels", "scores_are"}``.

    Args:
        shared: keeps it as long as an answer.
        keys: seals it; with a cache secret nobody else can.
        clock: monotonic seconds.
    """

    def __init__(self, *, shared: SharedCache, keys: CacheKeys, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._keys = keys
        self._clock = clock
        self._noted: str | None = None
        self._noted_at_s = float("-inf")

    async def read(self) -> tuple[str, list[str], ScoresAre] | None:
        """Give the version, its labels in class order and its kind of scores; None without a valid record."""
        (value,) = await self._shared.fetch([IN_FORCE_KEY])
        if value is None or not SEAL_BYTES < len(value) <= _LARGEST_RECORD_BYTES:
            return None
        seal, content = value[:SEAL_BYTES], value[SEAL_BYTES:]
        if not hmac.compare_digest(seal, self._keys.seal(content)):
            return None
        try:
            said = orjson.loads(content)
            labels = model_labels(said["labels"])
            return model_version(said["version"]), labels, model_scores_are(said.get("scores_are", "softmax"))
        except (ValueError, KeyError, TypeError, AttributeError):
            return None

    def note(self, version: str, labels: Sequence[str], scores_are: ScoresAre = "softmax") -> None:
        """Keep what the predictor just said; returns at once and writes rarely."""
        now_s = self._clock()
        if now_s - self._noted_at_s < (_RENEW_S if version == self._noted else _CHANGE_S):
            return
        self._noted, self._noted_at_s = version, now_s
        content = orjson.dumps({"version": version, "labels": list(labels), "scores_are": scores_are})
        self._shared.store([(IN_FORCE_KEY, self._keys.seal(content) + content)])
