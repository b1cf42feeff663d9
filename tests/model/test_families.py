"""Every family and head against transformers' own tokenizer and text-classification pipeline, in f32."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
import pytest
from model.checkpoints import LONGEST, SHAPES, write_checkpoint
from model.odd_texts import ODD_TEXTS
from numpy.typing import NDArray
from transformers import AutoTokenizer, pipeline

from predictor.batching.scores import scores_of
from predictor.checkpoint.artifact import find_checkpoint
from predictor.checkpoint.families import FAMILIES
from predictor.engine.feed import packed_feed
from predictor.engine.graph import build_graph
from predictor.loading import LoadedModel, load
from predictor.settings import EngineName, Settings

BOUND = 1e-4
HAS_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
HEADS: dict[str, dict[str, Any]] = {
    "softmax": {"labels": 3},
    "one score": {"labels": 1},
    "multi-label": {"labels": 4, "problem_type": "multi_label_classification"},
    "regression": {"labels": 1, "problem_type": "regression"},
    "many numbers": {"labels": 2, "problem_type": "regression"},
}


def served_scores(model: LoadedModel, texts: list[str]) -> NDArray[np.float32]:
    """Give scores [texts, labels], in batches of texts of every length."""
    config = model.checkpoint.config
    ids = [encoded.ids for encoded in model.tokenizer.encode(texts)]
    rows = [model.engine.forward(ids[start : start + 16]) for start in range(0, len(ids), 16)]
    return scores_of(np.concatenate(rows), config.scores_are)


def own_scores(directory: Path, texts: list[str], labels: tuple[str, ...]) -> NDArray[np.float32]:
    """Give what transformers' pipeline answers."""
    classify = pipeline("text-classification", model=str(directory), tokenizer=str(directory), top_k=None, device="cpu")
    answers = [{each["label"]: each["score"] for each in row} for row in classify(texts, truncation=True)]
    return np.array([[answer[label] for label in labels] for answer in answers], np.float32)


def own_ids(directory: Path, texts: list[str]) -> list[list[int]]:
    ids: list[list[int]] = AutoTokenizer.from_pretrained(directory)(texts, truncation=True)["input_ids"]
    return ids


def loaded(directory: Path, engine: EngineName = "openvino") -> LoadedModel:
    return load(Settings(model_dir=directory, engine=engine, precision="f32"), threads=2)


def test_there_are_texts_enough_and_every_family_is_asked() -> None:
    assert len(set(ODD_TEXTS)) >= 80
    assert set(SHAPES) == set(FAMILIES)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", FAMILIES)
def test_ids_and_scores_are_those_of_transformers(
    family: str, head: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    directory = write_checkpoint(tmp_path / "model", family, **HEADS[head])
    model = loaded(directory)
    assert model.max_length_tokens == LONGEST
    # One head is asked about every text, the others about enough to tell heads apart.
    texts = ODD_TEXTS if head in ("softmax", "multi-label") else ODD_TEXTS[::9]
    assert [list(each.ids) for each in model.tokenizer.encode(texts)] == own_ids(directory, texts)
    scores = served_scores(model, texts)
    own = own_scores(directory, texts, model.checkpoint.config.labels)
    largest = float(np.abs(scores - own).max())
    for name, value in (("family", family), ("head", head), ("largest difference", largest)):
        record_property(name, value)
    assert largest < BOUND
    # Otherwise parity would say little.
    assert np.ptp(own, axis=0).min() > 100 * BOUND


def quantised(directory: Path, out: Path, feeds: list[Any]) -> Path:
    """Write the int8 layout of a checkpoint, its ranges taken from the feeds."""
    graph = build_graph(find_checkpoint(directory))
    kind = nncf.ModelType.TRANSFORMER
    int8 = nncf.quantize(graph, nncf.Dataset(feeds), model_type=kind, subset_size=len(feeds))
    shutil.copytree(directory, out)
    (out / "model.safetensors").unlink()
    ov.save_model(int8, out / "openvino_model.xml", compress_to_fp16=False)
    (out / "quantization.json").write_text('{"precision": "int8"}')
    return out


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("modernbert", {"classifier_pooling": "cls"}),
        ("modernbert", {"classifier_pooling": "mean"}),
        ("deberta-v2", {"pos_att_type": ["c2p", "p2c"]}),
        ("deberta-v2", {"pos_att_type": ["c2p"]}),
    ],
)
def test_a_text_has_the_same_answer_alone_as_in_a_batch_in_int8(
    family: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    directory = write_checkpoint(tmp_path / "model", family, **changes)
    ids = [encoded.ids for encoded in loaded(directory).tokenizer.encode(ODD_TEXTS[::3])]
    feeds: list[Any] = [packed_feed(ids[start::3]) for start in range(3)]
    engine = load(Settings(model_dir=quantised(directory, tmp_path / "int8", feeds)), threads=2).engine
    alone = np.concatenate([engine.forward([each]) for each in ids])
    np.testing.assert_array_equal(engine.forward(ids), alone)
    np.testing.assert_array_equal(engine.forward(ids[::-1]), alone[::-1])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", FAMILIES)
def test_lower_precisions_stay_near(family: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model", family, labels=3)
    model = loaded(directory)
    texts = ODD_TEXTS[::5]
    exact = served_scores(model, texts)
    ids = [encoded.ids for encoded in model.tokenizer.encode(texts)]
    feeds = [packed_feed(ids[n::3], padding_id=model.checkpoint.config.counted_padding) for n in range(3)]
    served = {"int8": load(Settings(model_dir=quantised(directory, tmp_path / "int8", feeds)), threads=2)}
    if HAS_BF16:
        served["bf16"] = load(Settings(model_dir=directory, precision="bf16"), threads=2)
    for precision, lower in served.items():
        assert lower.engine.precision == precision
        scores = served_scores(lower, texts)
        assert np.isfinite(scores).all()
        assert not np.array_equal(scores, exact)
        # Random weights have no sure answers to keep: what a precision costs is measured on trained ones.
        assert np.abs(scores - exact).mean() < (0.2 if precision == "int8" else 0.02)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", FAMILIES)
def test_torch_serves_every_family_too(family: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model", family, labels=3)
    texts = ODD_TEXTS[::9]
    difference = served_scores(loaded(directory, "torch"), texts) - served_scores(loaded(directory), texts)
    assert np.abs(difference).max() < BOUND


@pytest.mark.timeout(300)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_has_the_same_answer_alone_as_in_a_batch(family: str, tmp_path: Path) -> None:
    model = loaded(write_checkpoint(tmp_path / "model", family))
    ids = [encoded.ids for encoded in model.tokenizer.encode(ODD_TEXTS[::5])]
    alone = np.concatenate([model.engine.forward([each]) for each in ids])
    np.testing.assert_array_equal(model.engine.forward(ids), alone)
