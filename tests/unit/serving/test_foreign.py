import pytest

from serving.foreign import whole_number
from serving.http.reply import Headers
from serving.request_id import RequestIds


@pytest.mark.parametrize(("value", "number"), [(b"0", 0), (b"007", 7), ("42", 42), (b"9" * 15, 10**15 - 1)])
def test_ascii_digits_are_a_number(value: bytes | str, number: int) -> None:
    assert whole_number(value) == number


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+1", b" 1", b"1_0", b"1.0", b"0x1", b"9" * 16, b"9" * 5_000, "٣", "²", "٣".encode()]
)
def test_nothing_else_is(value: bytes | str) -> None:
    assert whole_number(value) is None


def test_one_plain_id_is_kept() -> None:
    headers: Headers = [(b"host", b"x"), (b"x-request-id", b"my id 7")]
    assert RequestIds().identify(headers) == (b"my id 7", headers)


@pytest.mark.parametrize(
    "sent", [[], [b""], [b"x" * 129], [b"x" * 20_000], [b"\xff"], [b"tab\there"], [b"one", b"two"], [b"one", b"one"]]
)
def test_any_other_is_replaced_by_exactly_one(sent: list[bytes]) -> None:
    made, headers = RequestIds().identify([(b"host", b"x"), *((b"x-request-id", value) for value in sent)])
    assert made not in sent
    assert headers == [(b"host", b"x"), (b"x-request-id", made)]


def test_ids_are_unique_among_processes() -> None:
    one, other = RequestIds(), RequestIds()
    assert len({ids.identify([])[0] for ids in (one, one, other, other)}) == 4
