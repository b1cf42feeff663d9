"""An encoder for sequence classification as an OpenVINO graph, straight from a checkpoint's weights.

Two things make it cheap without changing an answer. Tokens are packed, see ``feed``; and the last layer computes
queries and everything after them for each text's first token alone, which is all the classifier reads.

Two things keep texts apart whatever their numbers are. Keys and values are clamped, so that a masked neighbour's NaN or
infinity has no weight. And every token's row before the last layer and every first token's row in the head are summed
up as outputs: they reveal a text with such numbers even if a later step hides them, as this library's relu does, which
turns NaN into 0. At bf16 these outputs keep the rows between the layers in float32 (the library lowers nothing between
its last multiplication and an output): this takes 2 % of a batch's time, and halves the distance to f32.
"""

from typing import NamedTuple

import numpy as np
import openvino as ov
from openvino import opset15 as op

from predictor.checkpoint.artifact import Checkpoint
from predictor.checkpoint.config import ModelConfig
from predictor.checkpoint.families import Activation
from predictor.checkpoint.weights import Weights
from predictor.engine.feed import INPUTS

OUTPUTS = ("logits", "token_sums", "first_sums")
# Sums of this times a query of similar size stay finite in float32; no trained key or value comes near it.
_BOUND = 1e15


def build_graph(checkpoint: Checkpoint) -> ov.Model:
    """Build the graph of a checkpoint with safetensors weights.

    Inputs, with T packed tokens, B texts and R rows of S columns of attention's grid, F of which at most begin a text:

    - ``input_ids`` and ``positions`` int32 [T];
    - ``grid`` int32 [R, S], the packed index of each cell; ``cells`` int32 [T], the cell of each packed token;
    - ``mask`` float32 [R, 1, S, S], 0 where a cell may look at a column, else -inf;
    - ``first`` int32 [B], the packed index of each text's first token;
    - ``first_grid`` int32 [R, F], the texts that begin in a row; ``first_cells`` int32 [B], each text's place there;
    - ``first_mask`` float32 [R, 1, F, S], the mask of those first tokens.

    Outputs: ``logits`` float32 [B, labels]; ``token_sums`` float32 [T] and ``first_sums`` float32 [B], finite if all
    their terms are. The weights stay views of the mapped files.

    Raises:
        CheckpointError: a tensor is missing, has another shape than the config implies, or is not finite.
    """
    return _Builder(checkpoint.config, Weights(checkpoint.weight_files)).build()


class _Rows(NamedTuple):
    """Rows of a matrix in the graph, and their width."""

    node: ov.Node
    width: int


class _Builder:
    """Builds the graph layer by layer."""

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        self._config = config
        self._family = config.family
        self._weights = weights
        # A checkpoint saved from the bare encoder lacks the prefix.
        prefix = config.family.prefix
        self._prefix = prefix if any(name.startswith(prefix) for name in weights.names) else ""
        self._rows = op.constant(np.array(0, np.int64))
        # Layers that share their weights share the constants too.
        self._constants: dict[str, ov.Node] = {}

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
        names = self._layer_names()
        for name in names[:-1]:
            hidden = self._layer(hidden, name, inputs, last=False)
        token_sums = op.reduce_sum(hidden, self._axis(1), keep_dims=False)
        hidden = self._layer(hidden, names[-1], inputs, last=True)
        first_sums, logits = self._head(hidden)
        results = []
        for name, node in zip(OUTPUTS, (logits, token_sums, first_sums), strict=True):
            result = op.result(node, name=name)
            result.output(0).set_names({name})
            results.append(result)
        return ov.Model(results, list(inputs.values()), self._family.model_type)

    def _layer_names(self) -> list[str]:
        """Give the name of every layer in running order; shared ones repeat."""
        config = self._config
        return [
            self._prefix
            + self._family.layer.format(layer=layer, group=layer * config.groups // config.layers, inner=inner)
            for layer in range(config.layers)
            for inner in range(config.inner_layers)
        ]

    def _embed(self, input_ids: ov.Node, positions: ov.Node) -> ov.Node:
        config, name = self._config, self._prefix + "embeddings."
        words = self._constant(name + "word_embeddings.weight", (config.vocab_size, config.embedding_dim))
        summed = op.add(op.gather(words, input_ids, self._rows), op.gather(self._places(name), positions, self._rows))
        normal = self._layer_norm(_Rows(summed, config.embedding_dim), name + "LayerNorm")
        if self._family.projection and (self._family.always_projected or config.embedding_dim != config.dim):
            return self._linear(_Rows(normal, config.embedding_dim), self._prefix + self._family.projection, config.dim)
        return normal

    def _places(self, name: str) -> ov.Node:
        """Give the position embeddings, with the row of the only token type added."""
        config = self._config
        shape = (config.positions, config.embedding_dim)
        if not self._family.token_types:
            return self._constant(name + "position_embeddings.weight", shape)
        places = self._weights.tensor(name + "position_embeddings.weight", shape=shape)
        types = self._weights.tensor(
            name + "token_type_embeddings.weight", shape=(config.token_types, config.embedding_dim)
        )
        return op.constant(places + types[0], name=name + "position_embeddings.weight")

    def _layer(self, hidden: ov.Node, name: str, inputs: dict[str, ov.Node], *, last: bool) -> ov.Node:
        """Add one transformer layer; the last one only for the first token of each text."""
        config, parts = self._config, self._family.layer_names
        of_first = "first_" if last else ""
        # The rows that go on after attention.
        kept = op.gather(hidden, inputs["first"], self._rows) if last else hidden
        every, some = _Rows(hidden, config.dim), _Rows(kept, config.dim)
        query = self._linear(some, f"{name}.{parts.query}", config.dim)
        key = self._bounded(self._linear(every, f"{name}.{parts.key}", config.dim))
        value = self._bounded(self._linear(every, f"{name}.{parts.value}", config.dim))
        attended = op.scaled_dot_product_attention(
            self._to_grid(query, inputs[of_first + "grid"]),
            self._to_grid(key, inputs["grid"]),
            self._to_grid(value, inputs["grid"]),
            inputs[of_first + "mask"],
        )
        attended = op.transpose(attended, _shape(0, 2, 1, 3))
        attended = op.reshape(attended, _shape(-1, config.dim), special_zero=False)
        attended = op.gather(attended, inputs[of_first + "cells"], self._rows)
        attended = self._linear(_Rows(attended, config.dim), f"{name}.{parts.attended}", config.dim)
        kept = self._layer_norm(_Rows(op.add(attended, kept), config.dim), f"{name}.{parts.attended_norm}")
        wide = self._linear(_Rows(kept, config.dim), f"{name}.{parts.wide}", config.hidden_dim)
        wide = _activated(wide, config.activation)
        narrow = self._linear(_Rows(wide, config.hidden_dim), f"{name}.{parts.narrow}", config.dim)
        return self._layer_norm(_Rows(op.add(narrow, kept), config.dim), f"{name}.{parts.norm}")

    def _head(self, first: ov.Node) -> tuple[ov.Node, ov.Node]:
        """Give the sums that show whether all is finite, and the logits."""
        dim, head = self._config.dim, self._family.head
        dense = self._prefix + head.dense[1:] if head.dense.startswith(".") else head.dense
        row = self._linear(_Rows(first, dim), dense, dim)
        # Both: with eight-bit linear layers the output is finite whatever the input was.
        sums = op.add(*(op.reduce_sum(each, self._axis(1), keep_dims=False) for each in (first, row)))
        row = _activated(row, head.activation)
        return sums, self._linear(_Rows(row, dim), head.out, len(self._config.labels))

    @staticmethod
    def _bounded(rows: ov.Node) -> ov.Node:
        return op.clamp(rows, -_BOUND, _BOUND)

    def _to_grid(self, packed: ov.Node, grid: ov.Node) -> ov.Node:
        """Turn [T, dim] into heads on the grid, [R, heads, S, dim / heads]."""
        config = self._config
        cells = op.gather(packed, grid, self._rows)
        cells = op.reshape(cells, _shape(0, 0, config.heads, config.dim // config.heads), special_zero=True)
        return op.transpose(cells, _shape(0, 2, 1, 3))

    def _linear(self, rows: _Rows, name: str, outputs: int) -> ov.Node:
        weight = self._constant(name + ".weight", (outputs, rows.width))
        product = op.matmul(rows.node, weight, transpose_a=False, transpose_b=True)
        return op.add(product, self._row(name + ".bias", outputs))

    def _layer_norm(self, rows: _Rows, name: str) -> ov.Node:
        normal = op.mvn(
            rows.node, _shape(-1), normalize_variance=True, eps=self._config.norm_eps, eps_mode="INSIDE_SQRT"
        )
        scaled = op.multiply(normal, self._row(name + ".weight", rows.width))
        return op.add(scaled, self._row(name + ".bias", rows.width))

    def _row(self, name: str, width: int) -> ov.Node:
        if name not in self._constants:
            row = self._weights.tensor(name, shape=(width,)).reshape(1, width)
            self._constants[name] = op.constant(row, shared_memory=True, name=name)
        return self._constants[name]

    def _constant(self, name: str, shape: tuple[int, ...]) -> ov.Node:
        if name not in self._constants:
            tensor = self._weights.tensor(name, shape=shape)
            self._constants[name] = op.constant(tensor, shared_memory=True, name=name)
        return self._constants[name]

    @staticmethod
    def _axis(number: int) -> ov.Node:
        return op.constant(np.array([number], np.int64))


def _activated(rows: ov.Node, activation: Activation) -> ov.Node:
    if activation == "gelu":
        return op.gelu(rows, "erf")
    if activation == "gelu_tanh":
        return op.gelu(rows, "tanh")
    if activation == "silu":
        return op.swish(rows)
    return op.relu(rows) if activation == "relu" else op.tanh(rows)


def _shape(*sizes: int) -> ov.Node:
    return op.constant(np.array(sizes, np.int64))
