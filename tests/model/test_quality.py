"""The parts of quantising: whose texts, what is compared, what the gate refuses, which layers a recipe leaves."""

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nncf
import numpy as np
import pytest
from model.artifact_scripts import ARTIFACTS, SHIPPED

from predictor.checkpoint.artifact import find_checkpoint
from predictor.engine.feed import packed_feed
from predictor.engine.graph import build_graph

NAMES = ("NEGATIVE", "POSITIVE")
F32 = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55]], np.float32)
INT8 = np.array([[0.8, 0.2], [0.4, 0.6], [0.3, 0.7], [0.55, 0.45]], np.float32)


@pytest.fixture
def quality(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(str(ARTIFACTS))
    names = ("texts", "compare", "page", "recipes", "kernels", "speed")
    return SimpleNamespace(**{name: importlib.import_module(f"quality.{name}") for name in names})


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "texts.tsv"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_labels_may_be_names_or_indices(quality: Any, tmp_path: Path) -> None:
    found = quality.texts.read_texts(written(tmp_path, "label\tsentence", "POSITIVE\tgood", "0\tbad"), NAMES)
    assert found.texts == ["good", "bad"]
    assert found.labels.tolist() == [1, 0]


def test_texts_without_labels_are_whole_lines(quality: Any, tmp_path: Path) -> None:
    found = quality.texts.read_texts(written(tmp_path, "# mine", "one, two", "", "three\tfour"), NAMES)
    assert found.texts == ["one, two", "three\tfour"]
    assert found.labels is None


def test_a_strange_label_is_named_by_its_line(quality: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 2: expected a label of the model"):
        quality.texts.read_texts(written(tmp_path, "1\tgood", "2\tbad"), NAMES)


def test_no_text_both_calibrates_and_decides(quality: Any, tmp_path: Path) -> None:
    texts = quality.texts.read_texts(written(tmp_path, *(f"text {n}" for n in range(9))), NAMES)
    few, rest = quality.texts.split(texts, 1000, seed=0)
    assert len(few.texts) == 4
    assert sorted(few.texts + rest.texts) == sorted(texts.texts)


def test_what_changed_is_counted_by_label_and_by_score(quality: Any) -> None:
    found = quality.compare.compare("mine", {"f32": F32, "int8": INT8}, np.array([0, 0, 1, 1]))
    assert found.flipped == {"f32": 0, "int8": 2}
    assert found.changes["int8"].tolist() == [[0, 1], [1, 0]]
    assert found.accuracy == {"f32": 1.0, "int8": 0.5}
    assert found.largest["int8"] == pytest.approx(0.2)
    assert found.mean["int8"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("points", "flips", "change", "labels", "refused"),
    [
        (50.0, 0.5, 0.2, [0, 0, 1, 1], []),
        (49.0, 0.5, 0.2, [0, 0, 1, 1], ["accuracy on mine falls by 50.00 points, 49 are tolerated"]),
        (50.0, 0.4, 0.2, [0, 0, 1, 1], ["the label of 50.00% of mine changes, 40.00% are tolerated"]),
        (50.0, 0.5, 0.05, None, ["scores on mine change by 0.1000, 0.05 is tolerated"]),
        (0.0, 0.5, 0.2, None, []),
    ],
)
def test_the_gate_says_which_limit_is_broken(
    quality: Any, points: float, flips: float, change: float, labels: list[int] | None, refused: list[str]
) -> None:
    truth = None if labels is None else np.array(labels)
    found = quality.compare.compare("mine", {"f32": F32, "int8": INT8}, truth)
    assert quality.compare.Gate(points=points, flips=flips, change=change).refusals(found) == refused


def test_the_page_shows_what_changed_the_kernels_and_the_speed(quality: Any) -> None:
    found = quality.compare.compare("mine", {"f32": F32, "int8": INT8}, None)
    speed = quality.speed.Speed(lone_ms=4.0, texts_per_s=500.0, lone_times=1.5, batch_times=1.9)
    report = quality.page.Report(
        title="base",
        recipe="every linear layer",
        tried=[("all", "the label changes")],
        calibration_texts=64,
        labels=NAMES,
        comparisons=[found],
        speed={"f32": speed, "int8": speed},
        kernels=[
            quality.kernels.Kernel("FullyConnected", "brgemm_avx512_vnni_I8", 36, 30.0),
            quality.kernels.Kernel("Gather", "ref_any_f32", 27, 10.0),
        ],
        instructions="AVX512-VNNI",
        compute="bf16",
    )
    said = quality.page.page(report)
    assert "Refused before: all (the label changes)." in said
    assert "| NEGATIVE |  | 1 |" in said
    assert "| POSITIVE | 1 |  |" in said
    assert "Products of int8 take 75% of the time; this CPU has AVX512-VNNI." in said
    assert "| int8 | 4.0 | 500 | 1.50 | 1.90 |" in said
    assert quality.page.caution(report) is None


def is_quantised(rows: Any) -> bool:
    node = rows.input_value(0).get_node() if rows.get_type_name() == "Reshape" else rows
    return bool(node.get_type_name() == "FakeQuantize")


@pytest.mark.parametrize(("recipe", "kept"), [(0, {"head"}), (1, {"head", "narrowing"}), (2, {"head", "feed-forward"})])
def test_a_recipe_leaves_the_layers_that_it_says(quality: Any, recipe: int, kept: set[str]) -> None:
    checkpoint = find_checkpoint(SHIPPED)
    ids = [np.arange(5, 5 + length, dtype=np.int32) for length in (7, 20, 12)]
    graph = quality.recipes.quantise(
        build_graph(checkpoint),
        quality.recipes.RECIPES[recipe],
        hidden_dim=checkpoint.config.hidden_dim,
        feeds=[dict(packed_feed(ids))],
    )
    config = checkpoint.config
    left = set()
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "ScaledDotProductAttention":
            assert not any(node.input_value(n).get_node().get_type_name() == "FakeQuantize" for n in range(3))
        if node.get_type_name() != "MatMul" or is_quantised(node.input_value(0).get_node()):
            continue
        outputs, inputs = node.input_value(1).get_shape()
        if config.hidden_dim not in (inputs, outputs):
            left.add("head")
        else:
            left.add("narrowing" if inputs == config.hidden_dim else "widening")
    expected = {"head", "narrowing", "widening"} if "feed-forward" in kept else kept
    assert left == expected


def test_rows_are_quantised_by_the_layer_before_or_as_one_long_row(quality: Any) -> None:
    checkpoint = find_checkpoint(SHIPPED)
    feeds = [dict(packed_feed([np.arange(5, 25, dtype=np.int32)]))]
    graph = quality.recipes.quantise(
        build_graph(checkpoint), quality.recipes.RECIPES[0], hidden_dim=checkpoint.config.hidden_dim, feeds=feeds
    )
    found = {"flat": 0, "behind an activation": 0}
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize" and node.input_value(0).get_node().get_type_name() != "Constant":
            flat = len(node.input_value(0).get_partial_shape()) == 3
            found["flat" if flat else "behind an activation"] += 1
    # In each of two layers attention and both feed-forward parts; the last layer's queries have rows of their own.
    assert found == {"flat": 7, "behind an activation": 2}


def test_weights_keep_to_seven_bits_so_that_no_cpu_overflows(quality: Any) -> None:
    checkpoint = find_checkpoint(SHIPPED)
    feeds = [dict(packed_feed([np.arange(5, 25, dtype=np.int32)]))]
    recipe = quality.recipes.RECIPES[0]
    graph = quality.recipes.quantise(
        build_graph(checkpoint), recipe, hidden_dim=checkpoint.config.hidden_dim, feeds=feeds
    )
    weights = [stored(node) for node in graph.get_ops() if node.get_type_name() == "MatMul"]
    bits = [int(np.abs(each).max()) for each in weights if each.dtype == np.int8]
    assert len(bits) == 12
    assert max(bits) <= 64


def stored(product: Any) -> np.ndarray:
    node = product.input_value(1).get_node()
    while node.get_type_name() != "Constant":
        node = node.input_value(0).get_node()
    return node.get_data()


def test_the_kernels_of_a_graph_are_named_and_timed(quality: Any, tmp_path: Path) -> None:
    import openvino as ov  # noqa: PLC0415 - only this test saves a graph

    path = tmp_path / "graph.xml"
    feeds = [dict(packed_feed([np.arange(5, 25, dtype=np.int32)] * 4))]
    graph = nncf.quantize(
        build_graph(find_checkpoint(SHIPPED)), nncf.Dataset(feeds), subset_size=1, model_type=nncf.ModelType.TRANSFORMER
    )
    ov.save_model(graph, path, compress_to_fp16=False)
    ids = [np.arange(5, 25, dtype=np.int32)] * 4
    found = quality.kernels.kernels(path, dict(packed_feed(ids)), compute="f32", threads=1)
    assert sum(kernel.count for kernel in found if kernel.multiplies_int8) >= 12
    assert all(kernel.ms >= 0 and kernel.kernel for kernel in found)
    assert found == sorted(found, key=lambda kernel: -kernel.ms)
