"""Names cached answers: model version and text in, key out. Pure."""

from hashlib import blake2b

_SCHEME = b"sentiment:1:"
_DIGEST_BYTES = 16
_SECRET_BYTES = 64  # blake2b's longest key
SEAL_BYTES = 16


class CacheKeys:
    """Makes keys ``sentiment:1:<model version>:<blake2b-128 of the text, hex>``.

    A secret turns the plain hash into a keyed one (RFC 7693): nobody who reads Redis can then test a guessed text.

    Args:
        secret: key of the hash, any length; empty for none.
    """

    def __init__(self, *, secret: bytes = b"") -> None:
        key = blake2b(secret).digest() if len(secret) > _SECRET_BYTES else secret
        # Copying a prepared state is quicker than setting one up for every text.
        self._state = blake2b(digest_size=_DIGEST_BYTES, key=key)
        # Told apart from the keys of texts: a text chosen to be a record's content does not give away its seal.
        self._seal_state = blake2b(digest_size=SEAL_BYTES, key=key, person=b"seal")

    def prefix(self, version: str) -> bytes:
        """Give what every key of a model version starts with."""
        return _SCHEME + version.encode() + b":"

    def key(self, prefix: bytes, text: str) -> bytes:
        """Give the key of a text under a prefix; 12 bytes of scheme, the version, 32 hex digits."""
        state = self._state.copy()
        state.update(text.encode())
        return prefix + state.hexdigest().encode()

    def seal(self, content: bytes) -> bytes:
        """Give the ``SEAL_BYTES`` bytes that show content unharmed and, with a secret, written by one who knows it."""
        state = self._seal_state.copy()
        state.update(content)
        return state.digest()
