"""Values that only someone who knows the cache secret can have written.

A sealed value is an answer's stored form with a tag at the end. The tag covers the key too, so that an answer moved to
another text's key is as invalid as a forged one. Without the secret a sealed value is no answer either: it is too long.
"""

from collections.abc import Iterable, Sequence

from transformer.cache.key import CacheKeys
from transformer.metrics import RedisMetrics


class Seal:
    """Seals what goes into a shared cache, and takes only what was sealed; anything else reads as absence.

    Args:
        keys: knows the secret.
        metrics: counts forged values.
    """

    def __init__(self, *, keys: CacheKeys, metrics: RedisMetrics) -> None:
        self._keys = keys
        self._metrics = metrics

    def sealed(self, values: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Give keys with their values as they are stored."""
        tagged = self._keys.tagged
        return [(key, tagged(key, value)) for key, value in values]

    def opened(self, keys: Sequence[bytes], stored: Sequence[bytes | None]) -> list[bytes | None]:
        """Give the value of every key that was sealed for it, None otherwise; ``UNREAD`` stays."""
        untagged = self._keys.untagged
        values: list[bytes | None] = []
        for key, sealed in zip(keys, stored, strict=True):
            # None and UNREAD, both falsy, stay as they are.
            value = sealed and untagged(key, sealed)
            if value is None and sealed is not None:
                self._metrics.error("read", "forged")
            values.append(value)
        return values
