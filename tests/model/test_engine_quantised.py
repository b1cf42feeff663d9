"""Directories whose weights are an OpenVINO graph instead of safetensors."""

import importlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from model.artifact_scripts import ARTIFACTS

from load.bench.random_checkpoint import SMALL, random_ids
from predictor.checkpoint.artifact import content_digest, find_checkpoint
from predictor.engine.feed import packed_feed
from predictor.engine.graph import build_graph
from predictor.engine.openvino_engine import OpenVinoEngine
from predictor.engine.torch_engine import TorchEngine
from predictor.errors import CheckpointError
from predictor.settings import PrecisionName


@pytest.fixture
def quantised(small_checkpoint: Path, tmp_path: Path) -> Path:
    """The layout of a quantised checkpoint, around the graph as it was before quantisation."""
    directory = tmp_path / "quantised"
    shutil.copytree(small_checkpoint, directory)
    ov.save_model(build_graph(find_checkpoint(directory)), directory / "openvino_model.xml", compress_to_fp16=False)
    (directory / "quantization.json").write_text(json.dumps({"precision": "int8"}))
    (directory / "model.safetensors").unlink()
    return directory


def test_the_graph_is_served_as_it_was_saved(quantised: Path, small_checkpoint: Path) -> None:
    texts = random_ids(SMALL, [3, 50, 17, 128])
    engine = OpenVinoEngine(checkpoint=find_checkpoint(quantised), precision="f32", threads=2)
    original = OpenVinoEngine(checkpoint=find_checkpoint(small_checkpoint), precision="f32", threads=2)
    np.testing.assert_array_equal(engine.forward(texts), original.forward(texts))
    assert engine.precision == "int8"
    assert engine.arithmetic == "openvino-int8-f32"


def test_every_file_of_it_is_part_of_the_version(quantised: Path) -> None:
    digests = {content_digest(find_checkpoint(quantised))}
    for name in ("openvino_model.xml", "openvino_model.bin", "quantization.json"):
        path = quantised / name
        path.write_bytes(path.read_bytes() + b" ")
        digests.add(content_digest(find_checkpoint(quantised)))
    assert len(digests) == 4


def save_foreign_graph(directory: Path) -> None:
    left = ov.opset15.parameter([1], np.float32, name="x")
    ov.save_model(ov.Model([ov.opset15.result(ov.opset15.relu(left))], [left]), directory / "openvino_model.xml")
    (directory / "openvino_model.bin").write_bytes(b"\0")


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no weights": (lambda d: (d / "openvino_model.bin").unlink(), "openvino_model.bin is missing"),
    "no record": (lambda d: (d / "quantization.json").unlink(), "quantization.json is missing"),
    "corrupt graph": (lambda d: (d / "openvino_model.xml").write_text("<net"), "cannot be read as an OpenVINO graph"),
    "truncated weights": (
        lambda d: (d / "openvino_model.bin").write_bytes((d / "openvino_model.bin").read_bytes()[:1000]),
        "cannot be read as an OpenVINO graph",
    ),
    "foreign graph": (save_foreign_graph, "not a graph of this predictor"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_spoiled_directory_is_refused_in_one_sentence(quantised: Path, case: str) -> None:
    spoil, says = SPOILED[case]
    spoil(quantised)
    with pytest.raises(CheckpointError) as caught:
        OpenVinoEngine(checkpoint=find_checkpoint(quantised), precision="f32", threads=2)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("precision", ["f32", "auto"])
def test_int8_answers_do_not_depend_on_neighbours_either(
    quantised: Path, small_checkpoint: Path, precision: PrecisionName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ARTIFACTS))
    recipes = importlib.import_module("quality.recipes")
    feeds = [dict(packed_feed(random_ids(SMALL, [10, 30, 5], seed=seed))) for seed in range(4)]
    graph = build_graph(find_checkpoint(small_checkpoint))
    int8 = recipes.quantise(graph, recipes.RECIPES[0], hidden_dim=SMALL.hidden_dim, feeds=feeds)
    ov.save_model(int8, quantised / "openvino_model.xml", compress_to_fp16=False)
    engine = OpenVinoEngine(checkpoint=find_checkpoint(quantised), precision=precision, threads=2)
    texts = random_ids(SMALL, [2, 3, 8, 16, 17, 33, 64, 100, 300, 512])
    alone = np.concatenate([engine.forward([text]) for text in texts])
    np.testing.assert_array_equal(engine.forward(texts), alone)
    np.testing.assert_array_equal(engine.forward(texts[::-1]), alone[::-1])


def test_torch_does_not_serve_it(quantised: Path) -> None:
    with pytest.raises(CheckpointError, match="needs PREDICTOR_ENGINE=openvino"):
        TorchEngine(checkpoint=find_checkpoint(quantised), precision="f32", threads=2)
