"""What ModernBERT alone has: angles that grow with position, and several layers' weights in one matrix."""

from pathlib import Path

import numpy as np
import pytest
import torch
from model.checkpoints import write_checkpoint
from numpy.typing import NDArray
from transformers import ModernBertConfig
from transformers.models.modernbert.modeling_modernbert import ModernBertRotaryEmbedding

from predictor.checkpoint import weights
from predictor.checkpoint.artifact import find_checkpoint
from predictor.engine.graph import build_graph
from predictor.engine.positions import angles


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
