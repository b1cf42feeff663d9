"""Values that only someone who knows the cache secret can have written.

A sealed value is an answer's stored form with its layout byte raised by 2 and a tag at the end. The tag covers the key
too, so that an answer moved to another text's key is as invalid as a forged one.
"""

from collections.abc import Iterable, Sequence
from hmac import compare_digest

from transformer.cache.key import TAG_BYTES, CacheKeys
from transformer.cache.tiers import SharedCache
from transformer.metrics import RedisMetrics

_RAISE = 2  # layouts 1 and 2 become 3 and 4
_OPENED = {layout + _RAISE: bytes([layout]) for layout in (1, 2)}
_SEALED = {layout: bytes([sealed]) for sealed, layout in _OPENED.items()}


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
        self._shared.store([(key, self._seal(key, value)) for key, value in values])

    def _seal(self, key: bytes, value: bytes) -> bytes:
        sealed = _SEALED[value[:1]] + value[1:]
        return sealed + self._tag(key, sealed)

    def _open(self, key: bytes, value: bytes) -> bytes | None:
        layout = _OPENED.get(value[0])
        sealed = value[:-TAG_BYTES]
        if layout is None or not compare_digest(value[-TAG_BYTES:], self._tag(key, sealed)):
            self._metrics.error("read", "forged")
            return None
        return layout + sealed[1:]
