"""Names cached answers: model version and text in, key out. Pure."""

from hashlib import blake2b
from hmac import compare_digest

_SCHEME = b"sentiment:1:"
_DIGEST_BYTES = 16
_SECRET_BYTES = 32
SEAL_BYTES = 16
TAG_BYTES = 8  # on every value; guessing one takes about 2^63 writes, each of which has to be read to be tried


class CacheKeys:
    """Makes keys ``sentiment:1:<model version>:<blake2b-128 of the text, hex>``.

    A secret turns the plain hash into a keyed one, so that reading Redis does not allow testing a guess. It goes before
    the message. With BLAKE2, to whose hashes nothing can be appended, that is as safe as the hash's own key; that one
    takes a block for itself, which doubles the work for most texts and for every value.

    Args:
        secret: key of the hash, any length; empty for none.

    Attributes:
        secret: whether there is one.
    """

    def __init__(self, *, secret: bytes = b"") -> None:
        self.secret = bool(secret)
        # Copying a prepared state is quicker than setting one up for every text. Each purpose has its own: a text equal
        # to a record's content must not reveal its seal.
        self._state = blake2b(digest_size=_DIGEST_BYTES)
        self._seal_state = blake2b(digest_size=SEAL_BYTES, person=b"seal")
        self._tag_state = blake2b(digest_size=TAG_BYTES, person=b"value")
        if secret:
            for state in (self._state, self._seal_state, self._tag_state):
                state.update(blake2b(secret, digest_size=_SECRET_BYTES).digest())

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

    def tagged(self, key: bytes, value: bytes) -> bytes:
        """Give a value with ``TAG_BYTES`` at its end that only someone who knows the secret can make for this key."""
        state = self._tag_state.copy()
        # Keys are letters, digits and colons, and no value begins with one of those: no separator is needed.
        state.update(key + value)
        return value + state.digest()

    def untagged(self, key: bytes, tagged: bytes) -> bytes | None:
        """Give the value that was tagged for this key; None for anything else."""
        value = tagged[:-TAG_BYTES]
        state = self._tag_state.copy()
        state.update(key + value)
        return value if compare_digest(state.digest(), tagged[-TAG_BYTES:]) else None
