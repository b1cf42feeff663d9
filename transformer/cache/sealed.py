"""Values that only someone who knows the cache secret can have written.

A sealed value is an answer's stored form with a tag at the end. The tag covers the key too, so that an answer moved to
another text's key is as invalid as a forged one. Without the secret a sealed value is no answer either: it is too long.
"""

from collections.abc import Iterable, Sequence
from hmac import compare_digest

from transformer.cache.key import TAG_BYTES, CacheKeys
from transformer.cache.tiers import SharedCache
from transformer.metrics import RedisMetrics


class SealedCache:
    """Seals what goes into a shared cache, and returns only what was sealed; anything else reads as absence.

    Args:
        shared: keeps the sealed values.
        keys: knows the secret.
        metrics: counts forged values.
    """

    def __init__(self, *, shared: SharedCache, keys: CacheKeys, metrics: RedisMetrics) -> None:
        self._shared = shared
        self._tag = keys.tag
        self._metrics = metrics

    async def fetch(self, keys: Sequence[bytes], *, patient: bool = False) -> list[bytes | None]:
        """Give the value of every key that was sealed for it, None otherwise; ``UNREAD`` stays."""
        values = await self._shared.fetch(keys, patient=patient)
        # None and UNREAD, both falsy, stay as they are.
        return [value and self._open(key, value) for key, value in zip(keys, values, strict=True)]

    def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        """Seal values and have them written."""
        self._shared.store([(key, value + self._tag(key, value)) for key, value in values])

    def _open(self, key: bytes, sealed: bytes) -> bytes | None:
        value = sealed[:-TAG_BYTES]
        if compare_digest(sealed[-TAG_BYTES:], self._tag(key, value)):
            return value
        self._metrics.error("read", "forged")
        return None
