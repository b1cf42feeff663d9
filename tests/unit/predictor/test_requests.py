import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictor.errors import InvalidRequestError, InvalidTensorError
from predictor.protocol.openapi import texts_schema
from predictor.protocol.requests import Limits, check_texts, parse_v1

LIMITS = Limits(max_texts=4, max_text_chars=10, max_body_bytes=1000)


def test_v1_takes_instances_or_inputs() -> None:
    assert parse_v1(b'{"instances": ["a", "b"]}', limits=LIMITS) == ["a", "b"]
    assert parse_v1(b'{"inputs": ["a"]}', limits=LIMITS) == ["a"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b'"text"', b"[]", b"null", b"{}", b'{"instances": "a"}', b'{"instances": {"a": 1}}',
        b'{"instances": []}', b'{"instances": ["a", "a", "a", "a", "a"]}', b'{"instances": [1]}',
        b'{"instances": [null]}', b'{"instances": [["a"]]}', b'{"instances": [" \\t\\n"]}',
        b'{"instances": ["01234567890"]}', b'{"instances": ["a"], "inputs": ["a"]}',
        b'{"instances": ["a"], "signature_name": "x"}', b'{"text": ["a"]}', b'{"instances": ["\\ud800"]}',
    ],
)  # fmt: skip
def test_v1_refuses_anything_else_without_repeating_it(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_v1(body, limits=LIMITS)
    assert type(caught.value) is InvalidRequestError
    assert caught.value.status == 422
    assert "01234567890" not in json.dumps(caught.value.body())


def test_findings_name_places_and_stop_at_sixteen() -> None:
    limits = Limits(max_texts=100, max_text_chars=5, max_body_bytes=1000)
    with pytest.raises(InvalidTensorError) as caught:
        check_texts(["ok", 3, "", "secret", *[""] * 50], limits=limits, field="text", error=InvalidTensorError)
    detail = caught.value.detail
    assert detail is not None
    assert len(detail) == 16
    assert [finding["loc"] for finding in detail[:3]] == [["text", 1], ["text", 2], ["text", 3]]
    assert [finding["type"] for finding in detail[:3]] == ["string_type", "string_blank", "string_too_long"]
    assert "secret" not in json.dumps(detail)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["instances", "inputs", "x"]), inner),
)


@given(value=json_values)
def test_any_json_is_either_texts_or_refused(value: Any) -> None:
    try:
        texts = parse_v1(json.dumps(value).encode(), limits=LIMITS)
    except InvalidRequestError:
        return
    assert 1 <= len(texts) <= 4
    assert all(isinstance(text, str) and text.strip() and len(text) <= 10 for text in texts)


@given(body=st.binary(max_size=64))
def test_any_bytes_are_either_texts_or_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        parse_v1(body, limits=LIMITS)


def test_documented_pattern_and_check_agree_on_what_is_blank() -> None:
    pattern = texts_schema(LIMITS)["items"]["pattern"]
    for point in (*range(0x2FFF), 0x3000, 0xFEFF, 0x1F600):
        text = chr(point)
        assert bool(re.search(pattern, text)) is not text.isspace(), hex(point)
        try:
            taken = parse_v1(json.dumps({"instances": [text]}).encode(), limits=LIMITS) == [text]
        except InvalidRequestError:
            taken = False
        assert taken is not text.isspace(), hex(point)
