"""DistilBERT for sequence classification as an OpenVINO graph, straight from a checkpoint's weights.

Two things make it cheap without changing an answer. Tokens are packed: every linear layer sees one matrix of the real
tokens of all texts, and only attention looks at a padded grid, through gathers. And the last layer computes queries and
everything after them for each text's first token alone, which is all the classifier reads.
"""

from collections.abc import Sequence

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from predictor.artifact import Checkpoint, DistilBertConfig
from predictor.weights import WeightsFile

# Rows of the attention grid are filled up to a multiple of this, the widest softmax vector (512 bits of float32): the
# sums then run in the same order whatever the longest neighbour, so an answer does not depend on its batch.
GRID_MULTIPLE = 16
# Every new size costs kernels, in time and in memory for good. So sizes are rounded up, to 16 steps in an octave and to
# steps of 8 at least; nobody reads the rows that come of it.
_STEPS_PER_OCTAVE = 16
_SMALLEST_STEP = 8

_LAYER_NORM_EPS = 1e-12

Feed = dict[str, NDArray[np.int32] | NDArray[np.float32]]


def build_graph(checkpoint: Checkpoint) -> ov.Model:
    """Build the graph of a checkpoint with safetensors weights.

    Inputs, with T packed tokens, B texts and S grid columns: ``input_ids`` and ``positions`` int32 [T]; ``grid`` int32
    [B, S], the packed index of each cell; ``cells`` int32 [T], the cell of each packed token; ``mask`` float32
    [B, 1, 1, S], 0 or -inf; ``first`` int32 [B], the packed index of each text's first token.
    Output: ``logits`` float32 [B, labels]. The weights stay views of the mapped file.

    Raises:
        CheckpointError: a tensor is missing or has another shape than the config implies.
    """
    return _Builder(checkpoint.config, WeightsFile(checkpoint.graph_file)).build()


def packed_feed(ids: Sequence[NDArray[np.int32]]) -> Feed:
    """Give the graph's inputs for one batch; logits beyond the batch's texts are to be thrown away.

    Args:
        ids: token ids of each text, shapes [tokens], none empty.
    """
    texts = len(ids)
    # Texts that only fill up have one token: the first of the batch once more, so that their softmax is defined.
    lengths = np.ones(texts if texts < _SMALLEST_STEP else rounded(texts), dtype=np.int64)
    lengths[:texts] = [len(text) for text in ids]
    tokens = int(lengths[:texts].sum())
    columns = -(-int(lengths.max()) // GRID_MULTIPLE) * GRID_MULTIPLE
    first = np.cumsum(lengths) - lengths
    first[texts:] = 0
    column = np.arange(columns)
    real = column < lengths[:, None]
    size = rounded(tokens)
    input_ids = np.zeros(size, np.int32)
    np.concatenate(ids, out=input_ids[:tokens])
    positions = np.zeros(size, np.int32)
    positions[:tokens] = np.arange(tokens) - np.repeat(first[:texts], lengths[:texts])
    cells = np.zeros(size, np.int32)
    cells[:tokens] = np.flatnonzero(real[:texts])
    return {
        "input_ids": input_ids,
        "positions": positions,
        "grid": np.where(real, first[:, None] + column, 0).astype(np.int32),
        "cells": cells,
        "mask": np.where(real, np.float32(0), np.float32(-np.inf))[:, None, None, :],
        "first": first.astype(np.int32),
    }


def rounded(size: int) -> int:
    """Give the next size that kernels are made for: at most a sixteenth larger, or 7 where that is more."""
    step = max(_SMALLEST_STEP, (1 << (size.bit_length() - 1)) // _STEPS_PER_OCTAVE)
    return -(-size // step) * step


class _Builder:
    """Holds what every layer needs while the graph grows."""

    def __init__(self, config: DistilBertConfig, weights: WeightsFile) -> None:
        self._config = config
        self._weights = weights
        # A checkpoint saved from the bare encoder lacks the prefix.
        self._prefix = "distilbert." if any(n.startswith("distilbert.") for n in weights.names) else ""
        self._rows = op.constant(np.array(0, np.int64))

    def build(self) -> ov.Model:
        shapes = {"input_ids": [-1], "positions": [-1], "grid": [-1, -1], "cells": [-1], "first": [-1]}
        inputs = {name: op.parameter(shape, np.int32, name=name) for name, shape in shapes.items()}
        inputs["mask"] = op.parameter([-1, 1, 1, -1], np.float32, name="mask")
        for name, node in inputs.items():
            node.output(0).set_names({name})
        hidden = self._embed(inputs["input_ids"], inputs["positions"])
        for layer in range(self._config.layers):
            hidden = self._layer(hidden, layer, inputs)
        dim = self._config.dim
        hidden = op.relu(self._linear(hidden, "pre_classifier", dim, dim))
        logits = op.result(self._linear(hidden, "classifier", dim, len(self._config.labels)), name="logits")
        logits.output(0).set_names({"logits"})
        return ov.Model([logits], list(inputs.values()), "distilbert")

    def _embed(self, input_ids: ov.Node, positions: ov.Node) -> ov.Node:
        config, name = self._config, self._prefix + "embeddings."
        words = self._constant(name + "word_embeddings.weight", (config.vocab_size, config.dim))
        places = self._constant(name + "position_embeddings.weight", (config.positions, config.dim))
        summed = op.add(op.gather(words, input_ids, self._rows), op.gather(places, positions, self._rows))
        return self._layer_norm(summed, name + "LayerNorm")

    def _layer(self, hidden: ov.Node, layer: int, inputs: dict[str, ov.Node]) -> ov.Node:
        """Add one transformer layer; the last one only for the first token of each text."""
        config = self._config
        name = f"{self._prefix}transformer.layer.{layer}."
        last = layer == config.layers - 1
        # The rows that go on after attention.
        kept = op.gather(hidden, inputs["first"], self._rows) if last else hidden
        query = self._linear(kept, name + "attention.q_lin", config.dim, config.dim)
        key = self._linear(hidden, name + "attention.k_lin", config.dim, config.dim)
        value = self._linear(hidden, name + "attention.v_lin", config.dim, config.dim)
        if last:
            heads = op.reshape(query, _shape(0, config.heads, 1, config.dim // config.heads), special_zero=True)
        else:
            heads = self._to_grid(query, inputs["grid"])
        attended = op.scaled_dot_product_attention(
            heads, self._to_grid(key, inputs["grid"]), self._to_grid(value, inputs["grid"]), inputs["mask"]
        )
        attended = op.transpose(attended, _shape(0, 2, 1, 3))
        attended = op.reshape(attended, _shape(-1, config.dim), special_zero=False)
        if not last:
            attended = op.gather(attended, inputs["cells"], self._rows)
        attended = self._linear(attended, name + "attention.out_lin", config.dim, config.dim)
        kept = self._layer_norm(op.add(attended, kept), name + "sa_layer_norm")
        wide = op.gelu(self._linear(kept, name + "ffn.lin1", config.dim, config.hidden_dim), "erf")
        narrow = self._linear(wide, name + "ffn.lin2", config.hidden_dim, config.dim)
        return self._layer_norm(op.add(narrow, kept), name + "output_layer_norm")

    def _to_grid(self, packed: ov.Node, grid: ov.Node) -> ov.Node:
        """Turn [T, dim] into heads on the padded grid, [B, heads, S, dim / heads]."""
        config = self._config
        cells = op.gather(packed, grid, self._rows)
        cells = op.reshape(cells, _shape(0, 0, config.heads, config.dim // config.heads), special_zero=True)
        return op.transpose(cells, _shape(0, 2, 1, 3))

    def _linear(self, rows: ov.Node, name: str, inputs: int, outputs: int) -> ov.Node:
        weight = self._constant(name + ".weight", (outputs, inputs))
        return op.add(op.matmul(rows, weight, transpose_a=False, transpose_b=True), self._row(name + ".bias", outputs))

    def _layer_norm(self, rows: ov.Node, name: str) -> ov.Node:
        normal = op.mvn(rows, _shape(-1), normalize_variance=True, eps=_LAYER_NORM_EPS, eps_mode="INSIDE_SQRT")
        scaled = op.multiply(normal, self._row(name + ".weight", self._config.dim))
        return op.add(scaled, self._row(name + ".bias", self._config.dim))

    def _row(self, name: str, width: int) -> ov.Node:
        row = self._weights.tensor(name, shape=(width,)).reshape(1, width)
        return op.constant(row, shared_memory=True, name=name)

    def _constant(self, name: str, shape: tuple[int, ...]) -> ov.Node:
        return op.constant(self._weights.tensor(name, shape=shape), shared_memory=True, name=name)


def _shape(*sizes: int) -> ov.Node:
    return op.constant(np.array(sizes, np.int64))
