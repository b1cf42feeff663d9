"""An encoder for sequence classification as an OpenVINO graph, straight from a checkpoint's weights.

Two things make it cheap without changing an answer. Tokens are packed, see ``feed``; and the last layer computes
queries and everything after them for each text's first token alone, which is all the classifier reads.

Texts are kept apart whatever their numbers are. The builder follows how large a value can become, from the weights:
with a sound checkpoint none comes near the end of float32, so neither NaN nor infinity can arise. Where that is not
certain, keys and values are clamped, so that a masked neighbour's NaN or infinity has no weight; and every token's row
before the last layer and every first token's row in the head are summed up as outputs: they reveal a text with such
numbers even if a later step hides them, as this library's relu does, which turns NaN into 0. Such a graph is slower, at
bf16 by up to 6 %: the library lowers nothing between its last multiplication and an output, so the rows between the
layers stay in float32.
"""

import math
from typing import NamedTuple

import numpy as np
import openvino as ov
from openvino import opset15 as op

from predictor.checkpoint.artifact import Checkpoint
from predictor.checkpoint.config import ModelConfig
from predictor.checkpoint.families import Activation
from predictor.checkpoint.weights import Weights
from predictor.engine.feed import INPUTS

LOGITS = "logits"
SUMS = ("token_sums", "first_sums")
# Magnitudes up to this stay finite in float32 when thousands of their squares are summed.
BOUND = 1e15


def build_graph(checkpoint: Checkpoint) -> ov.Model:
    """Build the graph of a checkpoint with safetensors weights.

    Inputs, with T packed tokens, B texts and R rows of S columns of attention's grid, F of which at most begin a text:

    - ``input_ids`` and ``positions`` int32 [T];
    - ``grid`` int32 [R, S], the packed index of each cell; ``cells`` int32 [T], the cell of each packed token;
    - ``mask`` float32 [R, 1, S, S], 0 where a cell may look at a column, else -inf;
    - ``first`` int32 [B], the packed index of each text's first token;
    - ``first_grid`` int32 [R, F], the texts that begin in a row; ``first_cells`` int32 [B], each text's place there;
    - ``first_mask`` float32 [R, 1, F, S], the mask of those first tokens.

    Outputs: ``logits`` float32 [B, labels]; if a value may become NaN or infinity also ``token_sums`` float32 [T] and
    ``first_sums`` float32 [B], finite if all their terms are. The weights stay views of the mapped files.

    Raises:
        CheckpointError: a tensor is missing, has another shape than the config implies, or is not finite.
    """
    return _Builder(checkpoint.config, Weights(checkpoint.weight_files)).build()


class _Rows(NamedTuple):
    """Rows of a matrix in the graph, their width, and the largest magnitude that a value in them can have."""

    node: ov.Node
    width: int
    bound: float


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
        self._always_finite = True

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
        token_sums = self._sums(hidden)
        hidden = self._layer(hidden, names[-1], inputs, last=True)
        first_sums, logits = self._head(hidden)
        outputs = {LOGITS: logits}
        if not self._always_finite:
            outputs |= zip(SUMS, (token_sums, first_sums), strict=True)
        results = []
        for name, node in outputs.items():
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

    def _embed(self, input_ids: ov.Node, positions: ov.Node) -> _Rows:
        config, name = self._config, self._prefix + "embeddings."
        words = self._constant(name + "word_embeddings.weight", (config.vocab_size, config.embedding_dim))
        places, bound = self._places(name)
        summed = op.add(op.gather(words, input_ids, self._rows), op.gather(places, positions, self._rows))
        bound += self._weights.largest(name + "word_embeddings.weight")
        normal = self._layer_norm(self._keep(summed, config.embedding_dim, bound), name + "LayerNorm")
        if self._family.projection and (self._family.always_projected or config.embedding_dim != config.dim):
            return self._linear(normal, self._prefix + self._family.projection, config.dim)
        return normal

    def _places(self, name: str) -> tuple[ov.Node, float]:
        """Give the position embeddings, with the row of the only token type added, and a bound of their magnitude."""
        config = self._config
        places, types = name + "position_embeddings.weight", name + "token_type_embeddings.weight"
        shape = (config.positions, config.embedding_dim)
        if not self._family.token_types:
            return self._constant(places, shape), self._weights.largest(places)
        first = self._weights.tensor(types, shape=(config.token_types, config.embedding_dim))[0]
        node = op.constant(self._weights.tensor(places, shape=shape) + first, name=places)
        return node, self._weights.largest(places) + self._weights.largest(types)

    def _layer(self, hidden: _Rows, name: str, inputs: dict[str, ov.Node], *, last: bool) -> _Rows:
        """Add one transformer layer; the last one only for the first token of each text."""
        config, parts = self._config, self._family.layer_names
        of_first = "first_" if last else ""
        # The rows that go on after attention.
        kept = hidden._replace(node=op.gather(hidden.node, inputs["first"], self._rows)) if last else hidden
        query = self._linear(kept, f"{name}.{parts.query}", config.dim)
        key = self._bounded(self._linear(hidden, f"{name}.{parts.key}", config.dim))
        value = self._bounded(self._linear(hidden, f"{name}.{parts.value}", config.dim))
        attended = op.scaled_dot_product_attention(
            self._to_grid(query, inputs[of_first + "grid"]),
            self._to_grid(key, inputs["grid"]),
            self._to_grid(value, inputs["grid"]),
            inputs[of_first + "mask"],
        )
        attended = op.transpose(attended, _shape(0, 2, 1, 3))
        attended = op.reshape(attended, _shape(-1, config.dim), special_zero=False)
        attended = op.gather(attended, inputs[of_first + "cells"], self._rows)
        mixed = self._linear(value._replace(node=attended), f"{name}.{parts.attended}", config.dim)
        kept = self._layer_norm(self._added(mixed, kept), f"{name}.{parts.attended_norm}")
        wide = _activated(self._linear(kept, f"{name}.{parts.wide}", config.hidden_dim), config.activation)
        narrow = self._linear(wide, f"{name}.{parts.narrow}", config.dim)
        return self._layer_norm(self._added(narrow, kept), f"{name}.{parts.norm}")

    def _head(self, first: _Rows) -> tuple[ov.Node, ov.Node]:
        """Give the sums that show whether all is finite, and the logits."""
        dim, head = self._config.dim, self._family.head
        dense = self._prefix + head.dense[1:] if head.dense.startswith(".") else head.dense
        row = self._linear(first, dense, dim)
        # Both: with eight-bit linear layers the output is finite whatever the input was.
        sums = op.add(self._sums(first), self._sums(row))
        logits = self._linear(_activated(row, head.activation), head.out, len(self._config.labels))
        return sums, logits.node

    def _keep(self, node: ov.Node, width: int, bound: float) -> _Rows:
        """Give rows, and note whether they may hold a number that is not finite."""
        # A bound that is no number is no bound.
        self._always_finite = self._always_finite and bound <= BOUND
        return _Rows(node, width, bound if bound <= BOUND else math.inf)

    def _added(self, one: _Rows, other: _Rows) -> _Rows:
        return self._keep(op.add(one.node, other.node), one.width, one.bound + other.bound)

    @staticmethod
    def _bounded(rows: _Rows) -> _Rows:
        return rows if rows.bound <= BOUND else _Rows(op.clamp(rows.node, -BOUND, BOUND), rows.width, BOUND)

    @staticmethod
    def _sums(rows: _Rows) -> ov.Node:
        return op.reduce_sum(rows.node, op.constant(np.array([1], np.int64)), keep_dims=False)

    def _to_grid(self, packed: _Rows, grid: ov.Node) -> ov.Node:
        """Turn [T, dim] into heads on the grid, [R, heads, S, dim / heads]."""
        config = self._config
        cells = op.gather(packed.node, grid, self._rows)
        cells = op.reshape(cells, _shape(0, 0, config.heads, config.dim // config.heads), special_zero=True)
        return op.transpose(cells, _shape(0, 2, 1, 3))

    def _linear(self, rows: _Rows, name: str, outputs: int) -> _Rows:
        weight = self._constant(name + ".weight", (outputs, rows.width))
        product = op.matmul(rows.node, weight, transpose_a=False, transpose_b=True)
        summed = op.add(product, self._row(name + ".bias", outputs))
        largest = self._weights.largest
        bound = rows.width * largest(name + ".weight") * rows.bound + largest(name + ".bias")
        return self._keep(summed, outputs, bound)

    def _layer_norm(self, rows: _Rows, name: str) -> _Rows:
        normal = op.mvn(
            rows.node, _shape(-1), normalize_variance=True, eps=self._config.norm_eps, eps_mode="INSIDE_SQRT"
        )
        scaled = op.multiply(normal, self._row(name + ".weight", rows.width))
        shifted = op.add(scaled, self._row(name + ".bias", rows.width))
        # One element takes the whole variance at most; of rows that may not be finite, nothing is known afterwards.
        largest = self._weights.largest
        bound = math.sqrt(rows.width) * largest(name + ".weight") + largest(name + ".bias")
        return self._keep(shifted, rows.width, bound if rows.bound <= BOUND else math.inf)

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


def _activated(rows: _Rows, activation: Activation) -> _Rows:
    """Apply an activation: none gives a larger magnitude than it takes."""
    return rows._replace(node=_activation(rows.node, activation))


def _activation(node: ov.Node, activation: Activation) -> ov.Node:
    if activation == "gelu":
        return op.gelu(node, "erf")
    if activation == "gelu_tanh":
        return op.gelu(node, "tanh")
    if activation == "silu":
        return op.swish(node)
    return op.relu(node) if activation == "relu" else op.tanh(node)


def _shape(*sizes: int) -> ov.Node:
    return op.constant(np.array(sizes, np.int64))
