"""Names cached answers: model version and text in, key out. Pure."""

from hashlib import blake2b

_SCHEME = b"sentiment:1:"
_DIGEST_BYTES = 16
_SECRET_BYTES = 64  # blake2b's longest key
SEAL_BYTES = 16
TAG_BYTES = 8  # on every value; guessing one takes about 2^63 writes, each of which has to be read to be tried


class CacheKeys:
    """Makes keys ``sentiment:1:<model version>:<blake2b-128 of the text, hex>``.

    A secret turns the plain hash into a keyed one (RFC 7693), so that reading Redis does not allow testing a guess.

    Args:
        secret: key of the hash, any length; empty for none.
    """

    def __init__(self, *, secret: bytes = b"") -> None:
        key = blake2b(secret).digest() if len(secret) > _SECRET_BYTES else secret
        # Copying a prepared state is quicker than setting one up for every text.
        self._state = blake2b(digest_size=_DIGEST_BYTES, key=key)
        # Separate from the keys of texts: a text equal to a record's content must not reveal its seal.
        self._seal_state = blake2b(digest_size=SEAL_BYTES, key=key, person=b"seal")
        self._tag_state = blake2b(digest_size=TAG_BYTES, key=key, person=b"value")

    def prefix(self, version: str) -> bytes:
        """Give the prefix of all keys of a model version."""
        return _SCHEME + version.encode() + b":"

    def key(self, prefix: bytes, text: str) -> bytes:
        """Give the key of a text under a prefix; 12 bytes of scheme, the version, 32 hex digits."""
        state = self._state.copy()
        state.update(text.encode())
        return prefix + state.hexdigest().encode()

    def seal(self, content: bytes) -> bytes:
        """Give the ``SEAL_BYTES`` bytes that prove content intact and, with a secret, by someone who knows it."""
        state = self._seal_state.copy()
        state.update(content)
        return state.digest()

    def tag(self, key: bytes, value: bytes) -> bytes:
        """Give the ``TAG_BYTES`` bytes that only someone who knows the secret can add to a value under a key."""
        state = self._tag_state.copy()
        # Keys are letters, digits and colons, and no value begins with one of those: no separator is needed.
        state.update(key + value)
        return state.digest()
