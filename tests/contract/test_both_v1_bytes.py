"""Each server writes V1's answer with code of its own: whatever labels and scores a model has, in the same bytes."""

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from predictor.batching.job import Answer, Timing
from predictor.service import write_predictions
from transformer.pipeline.answer import Model
from transformer.pipeline.pipeline import Classified
from transformer.service import _reply

SCORES = st.floats(allow_nan=False, allow_infinity=False, width=32)
LABELS = st.lists(st.text(max_size=8), min_size=1, max_size=5, unique=True)
Rows = list[list[float]]


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[str], Rows]:
    labels = draw(LABELS)
    row = st.lists(SCORES, min_size=len(labels), max_size=len(labels))
    return labels, draw(st.lists(row, min_size=1, max_size=4))


@given(answers())
@example((["NEGATIVE", "POSITIVE"], [[0.1, 0.9], [0.5, 0.5], [1.0, 0.0], [1e-7, 1 - 1e-7]]))
@example((["a", "b", "c"], [[0.0, -0.0, 1e-45], [7.0, 7.0, 7.0], [1e16, 3.4e38, -2.5]]))
def test_both_write_the_same_bytes(answer: tuple[list[str], Rows]) -> None:
    labels, rows = answer
    timing = Timing(tokenise_s=0, queue_s=0, inference_s=0)
    whole = write_predictions(Answer(scores=np.array(rows, np.float32), truncated=(), timing=timing), labels)

    model = Model(version="v", labels=labels, prefix=b"", scores_are="raw")
    missed = [model.answer(row, truncated=False) for row in rows]
    found = [each for each in model.read_all([made.value for made in missed]) if each]
    for read in (missed, found):
        classified = Classified(model=model, answers=read, found=0, asked=len(rows), lookup_s=0, predict_s=0)
        assert _reply(classified, 0).content == whole
