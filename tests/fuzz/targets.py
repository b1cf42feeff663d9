"""What is fuzzed: each target takes bytes from a stranger and fails only when a promise is broken."""
# ruff: noqa: PT017  # a target asserts on what was raised

import asyncio
import gzip
import json
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fuzz.connections import SEEDS as CONNECTION_SEEDS
from fuzz.connections import http_bytes, http_requests

from serving.cloudevents import CloudEvents
from serving.errors import InvalidRequestError, ServiceError
from serving.http.encoding import decoded
from serving.oip import rest
from serving.oip.tensors import unpack_bytes
from serving.schema import RequestSchema
from transformer.cache.in_force import IN_FORCE_KEY, InForceRecord
from transformer.cache.key import CacheKeys
from transformer.errors import PredictorNonsenseError
from transformer.pipeline.answer import Model
from transformer.pipeline.predictor_answers import read_scored

_SCHEMA = RequestSchema(max_texts=8, max_text_chars=64)
_EVENTS = CloudEvents(model_name="m", environ={})
_KEYS = CacheKeys(secret=b"fuzz")
_MODEL = Model(version="v1", labels=("NEGATIVE", "POSITIVE"), prefix=_KEYS.prefix("v1"))
_MODEL_OF_FIVE = Model(version="v1", labels=tuple("abcde"), prefix=_KEYS.prefix("v1"))


def _assert_texts(texts: Sequence[str]) -> None:
    assert 1 <= len(texts) <= 8
    for text in texts:
        assert isinstance(text, str)
        assert 1 <= len(text) <= 64
        assert text.strip()
        text.encode()  # a lone surrogate would break here, and in the cache key


def _own_words() -> bytes:
    """Every sentence and slug that refusals of bodies are made of: what no client's word can have brought in."""
    said = [b"instances text inputs outputs parameters datatype shape data name"]
    bodies = (
        b"", b"[]", b"{}", b'{"text": 1}', b'{"text": []}', b'{"text": [1]}', b'{"text": [""]}', b'{"text": [" "]}',
        b'{"text": ["a"], "x": 1}', b'{"text": ["%s"]}' % (b"a" * 65), b'{"text": [%s"a"]}' % (b'"a", ' * 8),
    )  # fmt: skip
    for body in bodies:
        try:
            _SCHEMA.predict(body)
        except InvalidRequestError as error:
            said.append(error.body())
    return b" ".join(said)


_OWN_WORDS = _own_words()


def _assert_tells_nothing(body: bytes, sent: bytes) -> None:
    """No run of eight bytes of what was sent comes back, unless it is a word of ours or a number."""
    for start in range(len(sent) - 8):
        piece = sent[start : start + 8]
        if piece.isalnum() and not piece.isdigit() and piece not in _OWN_WORDS:
            assert piece not in body, piece


def predict_body(data: bytes) -> None:
    """``POST /predict``: texts within the limits, or a refusal that tells nothing."""
    try:
        _assert_texts(_SCHEMA.predict(data))
    except InvalidRequestError as error:
        assert error.status == 422
        _assert_tells_nothing(error.body(), data)


def v1_body(data: bytes) -> None:
    """``POST /v1/models/sentiment:predict``: the same."""
    try:
        _assert_texts(_SCHEMA.v1(data))
    except InvalidRequestError as error:
        assert error.status == 422
        _assert_tells_nothing(error.body(), data)


def stored_value(data: bytes) -> None:
    """A value in Redis is an answer that reads back as itself, or nothing."""
    for model in (_MODEL, _MODEL_OF_FIVE):
        answer = model.read(data)
        if answer is None:
            continue
        assert answer.value == data
        assert math.isclose(math.fsum(answer.scores()), 1, abs_tol=1e-3)
        said = json.loads(answer.json)
        assert sorted(pair["label"] for pair in said) == sorted(model.labels)
        assert [pair["score"] for pair in said] == sorted((pair["score"] for pair in said), reverse=True)
        by_label = {pair["label"]: struct.unpack("<f", struct.pack("<f", pair["score"]))[0] for pair in said}
        assert tuple(by_label[label] for label in model.labels) == answer.scores()


def cache_key(data: bytes) -> None:
    """Different texts have different keys of one form, and none is a key of another kind."""
    text = data.decode(errors="replace")
    key = _KEYS.key(_MODEL.prefix, text)
    assert len(key) == len(_MODEL.prefix) + 32
    assert key.startswith(b"sentiment:1:v1:")
    assert key == _KEYS.key(_MODEL.prefix, text)
    assert key != _KEYS.key(_MODEL.prefix, text + " ")
    assert key != CacheKeys().key(_MODEL.prefix, text)
    assert key != IN_FORCE_KEY
    assert _KEYS.seal(text.encode()).hex().encode() != key[-32:]


class _Shared:
    """Gives one value for every key."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    async def fetch(self, keys: Sequence[bytes]) -> list[bytes | None]:
        return [self._value] * len(keys)

    def store(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        ((_, self._value),) = values


def in_force_record(data: bytes) -> None:
    """The record of the version in force: nothing unsealed is believed, nothing sealed breaks the reader."""
    assert asyncio.run(InForceRecord(shared=_Shared(data), keys=_KEYS).read()) is None
    found = asyncio.run(InForceRecord(shared=_Shared(_KEYS.seal(data) + data), keys=_KEYS).read())
    if found is not None:
        version, labels, scores_are = found
        assert version.isascii()
        assert version.isalnum()
        assert labels
        assert all(labels)
        assert scores_are in {"softmax", "sigmoid", "raw"}


def predictor_answer(data: bytes) -> None:
    """The predictor's body: a table of numbers for every text, or ``PredictorNonsenseError``; then probabilities."""
    try:
        scored = read_scored(data, texts=2)
    except PredictorNonsenseError:
        return
    assert len(scored.scores) == 2
    assert all(len(row) == len(scored.labels) for row in scored.scores)
    assert scored.version.isalnum()
    model = Model(version=scored.version, labels=scored.labels, prefix=b"")
    for row in scored.scores:
        try:
            stored_back = model.read(model.answer(row, truncated=False).value)
        except ValueError:
            continue
        assert stored_back is not None


def oip_rest(data: bytes) -> None:
    """An inference request, with and without binary tensors behind the JSON: texts, or 400 that tells nothing."""
    for header in (None, b"%d" % (len(data) // 2), b"x", b"-1", b"99999999999", b"9" * 5_000):
        try:
            call = rest.parse(data, header_length=header, schema=_SCHEMA)
        except InvalidRequestError as error:
            assert error.status == 400
            _assert_tells_nothing(error.body(), data)
            continue
        _assert_texts(call.texts)
        assert set(call.outputs) <= {"label", "scores"}


def oip_binary(data: bytes) -> None:
    """A BYTES tensor: its elements account for every byte."""
    try:
        elements = unpack_bytes(data)
    except InvalidRequestError:
        return
    assert b"".join(struct.pack("<I", len(element)) + element for element in elements) == data


def gzip_body(data: bytes) -> None:
    """A gzip body: what it holds within the limit, or a refusal."""
    try:
        plain = decoded(data, b"gzip", limit_bytes=4_096)
    except ServiceError as error:
        assert error.status in (400, 413)
    else:
        assert len(plain) <= 4_096


def structured_event(data: bytes) -> None:
    """A structured CloudEvent: its data as JSON, or 400."""
    try:
        event = _EVENTS.structured(data, [(b"content-type", b"application/cloudevents+json")])
    except InvalidRequestError as error:
        assert error.status == 400
    else:
        assert event is not None
        json.loads(event.data)


TARGETS: dict[str, Callable[[bytes], Any]] = {
    target.__name__: target
    for target in (
        predict_body, v1_body, stored_value, cache_key, in_force_record, predictor_answer, oip_rest, oip_binary,
        gzip_body, structured_event, http_requests, http_bytes,
    )
}  # fmt: skip

SEEDS: dict[str, list[bytes]] = {
    "predict_body": [b'{"text": ["a", "b"]}', b'{"text": ["\\ud800"]}', '{"text": ["é ü"]}'.encode()],
    "v1_body": [b'{"instances": ["a"]}', b'{"text": ["a"]}', b'{"instances": [1], "text": ["a"]}'],
    "stored_value": [b"\x01" + struct.pack("<2f", 0.25, 0.75), b"\x02" + struct.pack("<5f", *[0.2] * 5)],
    "cache_key": [b"text", "naïve".encode()],
    "in_force_record": [b'{"version": "v1", "labels": ["A", "B"]}', b"null"],
    "predictor_answer": [
        (
            b'{"model_version": "v1", "parameters": {"labels": "[\\"A\\",\\"B\\"]", "truncated": "[1]"}, '
            b'"outputs": [{"name": "scores", "data": [0.1, 0.9, 0.5, 0.5]}]}'
        ),
    ],
    "oip_rest": [
        b'{"id": "1", "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}]}',
        (
            b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 5}}]}'
            b"\x01\x00\x00\x00a"
        ),
    ],
    "oip_binary": [b"\x01\x00\x00\x00a", b"\x00\x00\x00\x00"],
    "gzip_body": [gzip.compress(b'{"text": ["a"]}'), gzip.compress(b"a" * 9_000), gzip.compress(b"a") * 3],
    "structured_event": [
        b'{"specversion": "1.0", "id": "1", "source": "s", "type": "t", "data": {"instances": ["a"]}}',
        b'{"specversion": "1.0", "id": 1, "source": "s", "type": "t", "data": null}',
    ],
}
SEEDS |= CONNECTION_SEEDS
