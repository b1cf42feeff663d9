"""What ModernBERT alone has: angles that grow with position, and several layers' weights in one matrix."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model.checkpoints import write_checkpoint
from model.odd_texts import ODD_TEXTS
from model.test_families import quantised
from numpy.typing import NDArray
from transformers import ModernBertConfig
from transformers.models.modernbert.modeling_modernbert import ModernBertRotaryEmbedding

from predictor.checkpoint import weights
from predictor.checkpoint.artifact import find_checkpoint
from predictor.engine.feed import packed_feed
from predictor.engine.graph import build_graph
from predictor.engine.openvino_engine import OpenVinoEngine
from predictor.engine.positions import angles
from predictor.loading import load
from predictor.settings import Settings


@pytest.mark.parametrize(("kind", "theta"), [("full_attention", 160_000.0), ("sliding_attention", 10_000.0)])
def test_angles_are_those_of_transformers_up_to_the_last_position(kind: str, theta: float) -> None:
    config = ModernBertConfig()
    own = ModernBertRotaryEmbedding(config)(torch.zeros(1), torch.arange(8192)[None], kind)
    width = config.hidden_size // config.num_attention_heads
    # In float64 they would be 4e-4 away.
    for ours, theirs in zip(angles(8192, width, theta), own, strict=True):
        assert np.abs(ours - theirs[0, :, : width // 2].numpy()).max() < 2e-7


def test_parts_of_a_matrix_stay_views_of_the_mapped_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = find_checkpoint(write_checkpoint(tmp_path / "model", "modernbert"))
    read: list[NDArray[np.float32]] = []
    tensor = weights.Weights.tensor

    def recorded(self: weights.Weights, name: str, *, shape: tuple[int, ...]) -> NDArray[np.float32]:
        read.append(tensor(self, name, shape=shape))
        return read[-1]

    monkeypatch.setattr(weights.Weights, "tensor", recorded)
    graph = build_graph(checkpoint)
    assert not any(each.flags.owndata for each in read)
    constants = [op for op in graph.get_ops() if op.get_type_name() == "Constant" and "." in op.get_friendly_name()]
    assert sum("[" in op.get_friendly_name() for op in constants) == checkpoint.config.layers * 5
    assert all(any(np.shares_memory(op.data, each) for each in read) for op in constants)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_text_has_the_same_answer_alone_as_in_a_batch_in_int8(pooling: str, tmp_path: Path) -> None:
    directory = write_checkpoint(tmp_path / "model", "modernbert", classifier_pooling=pooling)
    tokenizer = load(Settings(model_dir=directory, precision="f32"), threads=1).tokenizer
    ids = [encoded.ids for encoded in tokenizer.encode(ODD_TEXTS[::3])]
    feeds: list[Any] = [packed_feed(ids[start::3]) for start in range(3)]
    checkpoint = find_checkpoint(quantised(directory, tmp_path / "int8", feeds))
    engine = OpenVinoEngine(checkpoint=checkpoint, precision="auto", threads=2)
    alone = np.concatenate([engine.forward([each]) for each in ids])
    np.testing.assert_array_equal(engine.forward(ids), alone)
    np.testing.assert_array_equal(engine.forward(ids[::-1]), alone[::-1])
