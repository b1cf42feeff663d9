from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from transformer.cache.key import CacheKeys

texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1)


def test_key_names_scheme_version_and_hash_of_the_text() -> None:
    keys = CacheKeys()
    expected = b"sentiment:1:abc123:" + blake2b("naïve".encode(), digest_size=16).hexdigest().encode()
    assert keys.key(keys.prefix("abc123"), "naïve") == expected


@given(texts, texts)
def test_different_texts_have_different_keys(one: str, other: str) -> None:
    keys = CacheKeys()
    assert (keys.key(b"p:", one) == keys.key(b"p:", other)) == (one == other)


@given(texts)
def test_text_does_not_appear_in_its_key(text: str) -> None:
    key = CacheKeys().key(b"p:", text)
    assert len(key) == 2 + 32
    assert set(key[2:]) <= set(b"0123456789abcdef")


def test_secret_changes_the_key_and_equal_secrets_agree() -> None:
    plain, one, same, other = (CacheKeys(secret=s).key(b"", "text") for s in (b"", b"one", b"one", b"other"))
    assert one == same
    assert len({plain, one, other}) == 3


def test_secret_may_be_longer_than_the_hash_takes() -> None:
    assert CacheKeys(secret=b"x" * 65).key(b"", "t") != CacheKeys(secret=b"x" * 66).key(b"", "t")


def test_versions_share_no_key() -> None:
    keys = CacheKeys()
    assert keys.key(keys.prefix("a"), "t") != keys.key(keys.prefix("b"), "t")
