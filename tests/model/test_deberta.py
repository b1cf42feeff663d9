"""What DeBERTa-v3 alone has: distances that share rows of a table, and what they add to scores."""

import importlib
import shutil
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from model.artifact_scripts import ARTIFACTS
from model.checkpoints import write_checkpoint
from model.test_isolation import spoil
from transformers.models.deberta_v2.modeling_deberta_v2 import build_relative_position

from predictor.checkpoint.artifact import find_checkpoint
from predictor.checkpoint.variant import Distances
from predictor.engine.disentangled import rows_of
from predictor.engine.feed import packed_feed
from predictor.engine.graph import build_graph
from predictor.engine.openvino_engine import OpenVinoEngine
from predictor.errors import CheckpointError


def distances(buckets: int, most: int) -> Distances:
    return Distances(
        rows=buckets if buckets > 0 else most,
        near=buckets // 2 if buckets > 0 else None,
        far=most,
        of_queries=True,
        of_keys=True,
        shared=True,
        normed=True,
    )


@pytest.mark.parametrize(
    ("buckets", "most", "positions"),
    [
        *((buckets, most, 600) for buckets in (2, 3, 8, 32, 255, 256) for most in (200, 512, 600)),
        *((256, most, most) for most in (300, 512, 513, 1024, 1680, 2048)),
        *((-1, most, 300) for most in (1, 100, 300, 512)),
        # None of these is far enough away to share a row.
        *((256, most, most) for most in (64, 128, 129)),
    ],
)
def test_rows_are_those_of_transformers_for_every_distance(buckets: int, most: int, positions: int) -> None:
    said = distances(buckets, most)
    text = torch.empty(1, positions, 1)
    own = build_relative_position(text, text, bucket_size=buckets, max_position=most)[0]
    own = torch.clamp(own + said.rows, 0, 2 * said.rows - 1)
    # From the furthest key after the first query to the furthest before the last.
    own = torch.cat([own[0].flip(0), own[1:, 0]])
    np.testing.assert_array_equal(rows_of(said, positions), own.numpy())


def test_only_rows_that_may_occur_are_multiplied(tmp_path: Path) -> None:
    checkpoint = find_checkpoint(
        write_checkpoint(tmp_path / "model", "deberta-v2", position_buckets=256, max_position_embeddings=512)
    )
    graph = build_graph(checkpoint)
    multiplied = [node for node in graph.get_ordered_ops() if node.get_type_name() == "Slice"]
    assert len(multiplied) == 2 * checkpoint.config.layers
    tables = [node.input_value(0).get_node() for node in multiplied]
    assert {tuple(table.shape) for table in tables} == {(1, 4, 512, 12)}
    # Quantised, they stay as they are.
    assert all("layer" in table.get_friendly_name() for table in tables)


def test_products_too_large_are_refused_by_name(tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model", "deberta-v2")
    name = "deberta.encoder.layer.1.attention.self.key_proj"
    spoil(directory, f"{name}.weight", 3e38)
    with pytest.raises(CheckpointError, match=f"{name}: its products with the table of distances are too large"):
        build_graph(find_checkpoint(directory))


@pytest.mark.timeout(300)
def test_a_recipe_leaves_products_with_distances_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ARTIFACTS))
    recipes = importlib.import_module("quality.recipes")
    directory = write_checkpoint(
        tmp_path / "model", "deberta-v2", position_buckets=256, max_position_embeddings=512, num_hidden_layers=2
    )
    config = find_checkpoint(directory).config
    rng = np.random.default_rng(0)
    ids = [rng.integers(5, config.vocab_size, length, dtype=np.int32) for length in (3, 9, 20, 33, 130, 290, 512)]
    graph = recipes.quantise(
        build_graph(find_checkpoint(directory)),
        recipes.RECIPES[0],
        hidden_dim=config.hidden_dim,
        feeds=[dict(packed_feed(ids[start::2])) for start in range(2)],
    )
    products = [node for node in graph.get_ordered_ops() if node.get_type_name() == "MatMul"]
    of_distances = [node for node in products if node.input_value(1).get_node().get_type_name() == "Slice"]
    assert len(of_distances) == 2 * config.layers
    for node in of_distances:
        assert node.input_value(0).get_node().get_type_name() == "Transpose"
    out = Path(shutil.copytree(directory, tmp_path / "int8"))
    (out / "model.safetensors").unlink()
    ov.save_model(graph, out / "openvino_model.xml", compress_to_fp16=False)
    (out / "quantization.json").write_text('{"precision": "int8"}')
    engine = OpenVinoEngine(checkpoint=find_checkpoint(out), precision="auto", threads=2)
    alone = np.concatenate([engine.forward([each]) for each in ids])
    np.testing.assert_array_equal(engine.forward(ids), alone)
    np.testing.assert_array_equal(engine.forward(ids[::-1]), alone[::-1])
