import json
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer.pipeline.answer import Model

MODEL = Model(version="v", labels=("NEGATIVE", "POSITIVE"), prefix=b"")


def f32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def test_answer_lists_all_labels_best_first() -> None:
    answer = MODEL.answer([0.25, 0.75], truncated=False)
    assert answer.json == b'[{"label":"POSITIVE","score":0.75},{"label":"NEGATIVE","score":0.25}]'


def test_stored_value_is_a_layout_byte_and_little_endian_scores() -> None:
    assert MODEL.answer([0.25, 0.75], truncated=False).value == b"\x01" + struct.pack("<2f", 0.25, 0.75)


def test_truncation_survives_the_cache() -> None:
    stored = MODEL.answer([0.25, 0.75], truncated=True)
    read = MODEL.read(stored.value)
    assert read is not None
    assert read.truncated
    assert read == stored


@given(st.floats(0, 1, width=32))
def test_miss_and_hit_give_the_same_bytes(positive: float) -> None:
    stored = MODEL.answer([1 - positive, positive], truncated=False)
    assert MODEL.read(stored.value) == stored


@given(st.floats(0, 1, width=32))
def test_written_scores_read_back_as_the_same_float32(positive: float) -> None:
    answer = MODEL.answer([1 - positive, positive], truncated=False)
    written = {pair["label"]: pair["score"] for pair in json.loads(answer.json)}
    assert f32(written["POSITIVE"]) == positive
    assert f32(written["NEGATIVE"]) == f32(1 - positive)
    assert math.isclose(sum(written.values()), 1, abs_tol=1e-6)


@given(st.binary(max_size=40))
def test_any_bytes_are_an_answer_or_nothing(value: bytes) -> None:
    answer = MODEL.read(value)
    if answer is not None:
        assert answer.value == value
        assert all(0 <= pair["score"] <= 1 for pair in json.loads(answer.json))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x01",
        b"\x00" + struct.pack("<2f", 0.5, 0.5),
        b"\x03" + struct.pack("<2f", 0.5, 0.5),
        b"\x01" + struct.pack("<3f", 0.2, 0.3, 0.5),
        b"\x01" + struct.pack("<2f", 0.5, 0.6),
        b"\x01" + struct.pack("<2f", -0.5, 1.5),
        b"\x01" + struct.pack("<2f", math.nan, 0.5),
        b"\x01" + struct.pack("<2f", math.inf, 0.5),
        b'{"label": "POSITIVE"}',
    ],
)
def test_foreign_value_is_no_answer(value: bytes) -> None:
    assert MODEL.read(value) is None


@pytest.mark.parametrize("scores", [[0.5], [0.2, 0.3, 0.5], [2.0, -1.0], [math.nan, 1.0], ["a", "b"], [1e99, 0]])
def test_nonsense_scores_are_refused(scores: list[float]) -> None:
    with pytest.raises(ValueError, match=r"score|probab"):
        MODEL.answer(scores, truncated=False)


def test_scores_that_a_seal_vouches_for_are_not_checked_again() -> None:
    sealed = Model(version="v", labels=MODEL.labels, prefix=b"", sealed=True)
    assert sealed.read(b"\x01" + struct.pack("<2f", 0.5, 0.6)) is not None
    assert sealed.read(b"\x01" + struct.pack("<3f", 0.2, 0.3, 0.5)) is None


def test_a_seal_does_not_vouch_for_what_the_predictor_says() -> None:
    with pytest.raises(ValueError, match="not scores of this model"):
        Model(version="v", labels=MODEL.labels, prefix=b"", sealed=True).answer([0.5, 0.6], truncated=False)


def test_label_with_quotes_is_valid_json() -> None:
    model = Model(version="v", labels=('say "no"', "ok"), prefix=b"")
    assert json.loads(model.answer([0.9, 0.1], truncated=False).json)[0]["label"] == 'say "no"'


def test_several_labels_may_hold_and_need_not_sum_to_one() -> None:
    model = Model(version="v", labels=("toxic", "insult", "threat"), prefix=b"", scores_are="sigmoid")
    answer = model.answer([0.5, 0.75, 0.25], truncated=False)
    assert [pair["label"] for pair in json.loads(answer.json)] == ["insult", "toxic", "threat"]
    assert model.read(answer.value) == answer
    assert Model(version="v", labels=model.labels, prefix=b"").read(answer.value) is None


@pytest.mark.parametrize("score", [-0.25, 1.5, math.nan, math.inf])
def test_what_is_no_probability_is_no_score_of_a_label(score: float) -> None:
    model = Model(version="v", labels=("toxic", "insult"), prefix=b"", scores_are="sigmoid")
    with pytest.raises(ValueError, match="not scores of this model"):
        model.answer([0.5, score], truncated=False)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_a_raw_number_survives_cache_and_writing(number: float) -> None:
    model = Model(version="v", labels=("LABEL_0",), prefix=b"", scores_are="raw")
    answer = model.answer([number], truncated=False)
    assert model.read(answer.value) == answer
    assert f32(json.loads(answer.json)[0]["score"]) == number


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_raw_score_is_a_number(number: float) -> None:
    model = Model(version="v", labels=("LABEL_0",), prefix=b"", scores_are="raw")
    with pytest.raises(ValueError, match="not scores of this model"):
        model.answer([number], truncated=False)
