import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidRequestError, PayloadTooLargeError, UnsupportedEncodingError
from serving.http.encoding import decoded


@pytest.mark.parametrize("name", [b"gzip", b"GZIP", b" x-gzip "])
def test_gzip_is_undone(name: bytes) -> None:
    assert decoded(gzip.compress(b"plain", mtime=0), name, limit_bytes=5) == b"plain"
    assert decoded(gzip.compress(b"pl", mtime=0) + gzip.compress(b"ain", mtime=0), name, limit_bytes=5) == b"plain"


@pytest.mark.parametrize("name", [b"", b"identity"])
def test_plain_bodies_stay(name: bytes) -> None:
    assert decoded(b"plain", name, limit_bytes=5) == b"plain"


@pytest.mark.parametrize("name", [b"deflate", b"br", b"zstd", b"gzip,gzip", b"\xff"])
def test_other_encodings_are_not_supported(name: bytes) -> None:
    with pytest.raises(UnsupportedEncodingError):
        decoded(b"", name, limit_bytes=5)


@pytest.mark.parametrize("body", [gzip.compress(b"a" * 1_000_000, mtime=0), gzip.compress(b"aaa", mtime=0) * 2])
def test_no_more_than_the_limit_comes_out(body: bytes) -> None:
    with pytest.raises(PayloadTooLargeError):
        decoded(body, b"gzip", limit_bytes=5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"plain",
        gzip.compress(b"a", mtime=0)[:-1],
        gzip.compress(b"a", mtime=0) + b"more",
        zlib.compress(b"a"),
        gzip.compress(b"", mtime=0) * 17,
    ],
)  # fmt: skip
def test_what_is_not_gzip_is_the_clients_mistake(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        decoded(body, b"gzip", limit_bytes=5)
    assert caught.value.status == 400


@given(st.binary(max_size=100))
def test_any_body_survives_the_round_trip(body: bytes) -> None:
    assert decoded(gzip.compress(body, mtime=0), b"gzip", limit_bytes=100) == body
