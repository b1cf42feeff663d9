import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.errors import InvalidRequestError
from transformer.protocol.schema import RequestSchema

SCHEMA = RequestSchema(max_texts=128, max_text_chars=10_000)


def test_texts_come_out_as_sent() -> None:
    assert SCHEMA.predict('{"text": ["a", " b ", "é\\u0000😀"]}'.encode()) == ["a", " b ", "é\x00😀"]


def test_limits_are_inclusive() -> None:
    assert len(SCHEMA.predict(b'{"text": [' + b",".join([b'"a"'] * 128) + b"]}")) == 128
    assert len(SCHEMA.predict(b'{"text": ["' + b"a" * 10_000 + b'"]}')[0]) == 10_000


def test_characters_are_code_points_not_bytes() -> None:
    assert SCHEMA.predict(b'{"text": ["' + "😀".encode() * 10_000 + b'"]}')


def test_blank_means_the_same_in_every_dialect() -> None:
    pattern = SCHEMA.openapi()["PredictRequest"]["properties"]["text"]["items"]["pattern"]
    assert "\\" not in pattern  # no class that a dialect may see differently
    for point in (*range(0x2FFF), 0x3000, 0xFEFF, 0xFFFD, 0x1F600):
        text = chr(point)
        assert bool(re.search(pattern, text)) is not text.isspace(), hex(point)
        body = json.dumps({"text": [text]}).encode()
        if text.isspace():
            with pytest.raises(InvalidRequestError):
                SCHEMA.predict(body)
        else:
            assert SCHEMA.predict(body) == [text]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", "json_invalid"),
        (b"{", "json_invalid"),
        (b"\xff\xfe", "json_invalid"),
        (b'{"text": ["\xff"]}', "json_invalid"),
        (b'{"text": ["\\ud800"]}', "json_invalid"),
        (b"[]", "dict_type"),
        (b"null", "dict_type"),
        (b'"text"', "dict_type"),
        (b"{}", "missing"),
        (b'{"texts": ["a"]}', "missing"),
        (b'{"text": ["a"], "more": 1}', "extra_forbidden"),
        (b'{"text": "a"}', "list_type"),
        (b'{"text": null}', "list_type"),
        (b'{"text": []}', "too_short"),
        (b'{"text": [1]}', "string_type"),
        (b'{"text": [null]}', "string_type"),
        (b'{"text": [["a"]]}', "string_type"),
        (b'{"text": [true]}', "string_type"),
        (b'{"text": [""]}', "string_too_short"),
        (b'{"text": [" \\n\\t"]}', "string_pattern_mismatch"),
        (b'{"text": ["' + b"a" * 10_001 + b'"]}', "string_too_long"),
        (b'{"text": [' + b",".join([b'"a"'] * 129) + b"]}", "too_long"),
    ],
)
def test_bad_body_is_refused_with_its_reason(body: bytes, kind: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SCHEMA.predict(body)
    assert caught.value.status == 422
    assert caught.value.detail is not None
    assert kind in [finding["type"] for finding in caught.value.detail]


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": ["ok"], "SECRET": 1}',
        b'{"text": [["SECRET"]]}',
        b'{"text": ["SECRET',
        b'{"text": {"SECRET": 1}}',
        b"SECRET",
    ],
)
def test_input_is_not_echoed(body: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SCHEMA.predict(body)
    assert b"SECRET" not in caught.value.body()


def test_findings_are_bounded() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        SCHEMA.predict(b'{"text": [' + b",".join([b'""'] * 128) + b"]}")
    assert caught.value.detail is not None
    assert len(caught.value.detail) <= 16


def test_v1_takes_instances_and_text() -> None:
    assert SCHEMA.v1(b'{"instances": ["a"]}') == ["a"]
    assert SCHEMA.v1(b'{"text": ["a"]}') == ["a"]


@pytest.mark.parametrize("body", [b'{"instances": ["a"], "text": ["b"]}', b'{"instances": [{"text": "a"}]}', b"{}"])
def test_v1_refuses_the_rest(body: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        SCHEMA.v1(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_texts_or_refused(body: bytes) -> None:
    try:
        texts = SCHEMA.v1(body)
    except InvalidRequestError:
        return
    assert 1 <= len(texts) <= 128
    assert all(text.strip() for text in texts)
