"""DistilBERT for sequence classification as an OpenVINO graph, straight from a checkpoint's weights.

Three things make it cheap without changing an answer. Tokens are packed: every linear layer sees one matrix of the real
tokens of all texts, and only attention looks at a padded grid, through gathers. In a row of that grid short texts lie
side by side, masked from each other. And the last layer computes queries and everything after them for each text's
first token alone, which is all the classifier reads.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from predictor.checkpoint.artifact import Checkpoint, DistilBertConfig
from predictor.checkpoint.weights import WeightsFile
from predictor.engine import packing

# In a row of the attention grid a text begins at a multiple of this, the widest softmax vector (512 bits of float32),
# and the row's width is one: the sums then run in the same order whoever the neighbours are, so an answer does not
# depend on its batch.
GRID_MULTIPLE = 16
# For the same reason no shared row is wider: beyond this many columns a product is summed in pieces, and a text that
# lies on the border would be cut in two.
_MOST_SHARED_COLUMNS = 512
# What bringing a cell into the grid and back costs, in columns that it attends to.
CELL_MOVE = 150
# Every new size costs kernels, some ms once and 0.7 MB for good. So sizes are rounded up, to 16 steps in an octave;
# nobody reads the rows that come of it. Below 32 every size has its own: a lone text is the slower for each row.
_STEPS_PER_OCTAVE = 16

_LAYER_NORM_EPS = 1e-12

INPUTS = (
    "input_ids",
    "positions",
    "grid",
    "cells",
    "mask",
    "first",
    "first_grid",
    "first_cells",
    "first_mask",
)

Feed = dict[str, NDArray[np.int32] | NDArray[np.float32]]


def build_graph(checkpoint: Checkpoint) -> ov.Model:
    """Build the graph of a checkpoint with safetensors weights.

    Inputs, with T packed tokens, B texts and R rows of S columns of attention's grid, F of which at most begin a text:

    - ``input_ids`` and ``positions`` int32 [T];
    - ``grid`` int32 [R, S], the packed index of each cell; ``cells`` int32 [T], the cell of each packed token;
    - ``mask`` float32 [R, 1, S, S], 0 where a cell may look at a column, else -inf;
    - ``first`` int32 [B], the packed index of each text's first token;
    - ``first_grid`` int32 [R, F], the texts that begin in a row; ``first_cells`` int32 [B], each text's place there;
    - ``first_mask`` float32 [R, 1, F, S], the mask of those first tokens.

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
    lengths = [len(text) for text in ids]
    slots = [slot(length) for length in lengths]
    columns, placed = packing.side_by_side(slots, step=GRID_MULTIPLE, most=_MOST_SHARED_COLUMNS, move=CELL_MOVE)
    tokens, texts, rows, firsts = sum(lengths), rounded(len(ids)), rounded(len(placed)), columns // GRID_MULTIPLE
    starts = [0, *accumulate(lengths)]
    packed, column = np.zeros((3, rounded(tokens)), np.int32), np.arange(columns, dtype=np.int32)
    input_ids, positions, cells = packed
    np.concatenate(ids, out=input_ids[:tokens])
    first, first_cells = np.zeros((2, texts), np.int32)
    first[: len(ids)] = starts[:-1]
    grid, first_grid = np.zeros((rows, columns), np.int32), np.zeros((rows, firsts), np.int32)
    mask = np.full((rows, columns, columns), -np.inf, np.float32)
    first_mask = np.full((rows, firsts, columns), -np.inf, np.float32)
    # Cells of no text look at their row's first column, so that their softmax is defined.
    mask[:, :, 0] = first_mask[:, :, 0] = 0
    for row, beside in enumerate(placed):
        begin = 0
        for place, text in enumerate(beside):
            length, start = lengths[text], starts[text]
            end, span = begin + length, slice(start, start + length)
            positions[span] = column[:length]
            cells[span] = column[begin:end] + row * columns
            grid[row, begin:end] = column[:length] + start
            mask[row, begin : begin + slots[text], 0] = first_mask[row, place, 0] = -np.inf
            mask[row, begin : begin + slots[text], begin:end] = first_mask[row, place, begin:end] = 0
            first_grid[row, place] = text
            first_cells[text] = row * firsts + place
            begin += slots[text]
    return {
        "input_ids": input_ids,
        "positions": positions,
        "grid": grid,
        "cells": cells,
        "mask": mask[:, None],
        "first": first,
        "first_grid": first_grid,
        "first_cells": first_cells,
        "first_mask": first_mask[:, None],
    }


def slot(length: int) -> int:
    """Give the columns that a text of so many tokens takes in a row of the grid."""
    return -(-length // GRID_MULTIPLE) * GRID_MULTIPLE


def rounded(size: int) -> int:
    """Give the next size that kernels are made for: at most a sixteenth larger."""
    step = max(1, (1 << (size.bit_length() - 1)) // _STEPS_PER_OCTAVE)
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
        inputs = {
            name: op.parameter([-1, 1, -1, -1], np.float32, name=name)
            if name.endswith("mask")
            else op.parameter([-1, -1] if name.endswith("grid") else [-1], np.int32, name=name)
            for name in INPUTS
        }
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
        of_first = "first_" if last else ""
        # The rows that go on after attention.
        kept = op.gather(hidden, inputs["first"], self._rows) if last else hidden
        query = self._linear(kept, name + "attention.q_lin", config.dim, config.dim)
        key = self._linear(hidden, name + "attention.k_lin", config.dim, config.dim)
        value = self._linear(hidden, name + "attention.v_lin", config.dim, config.dim)
        attended = op.scaled_dot_product_attention(
            self._to_grid(query, inputs[of_first + "grid"]),
            self._to_grid(key, inputs["grid"]),
            self._to_grid(value, inputs["grid"]),
            inputs[of_first + "mask"],
        )
        attended = op.transpose(attended, _shape(0, 2, 1, 3))
        attended = op.reshape(attended, _shape(-1, config.dim), special_zero=False)
        attended = op.gather(attended, inputs[of_first + "cells"], self._rows)
        attended = self._linear(attended, name + "attention.out_lin", config.dim, config.dim)
        kept = self._layer_norm(op.add(attended, kept), name + "sa_layer_norm")
        wide = op.gelu(self._linear(kept, name + "ffn.lin1", config.dim, config.hidden_dim), "erf")
        narrow = self._linear(wide, name + "ffn.lin2", config.hidden_dim, config.dim)
        return self._layer_norm(op.add(narrow, kept), name + "output_layer_norm")

    def _to_grid(self, packed: ov.Node, grid: ov.Node) -> ov.Node:
        """Turn [T, dim] into heads on the grid, [R, heads, S, dim / heads]."""
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
