"""Rows of a matrix in a graph: what every encoder computes of them, and how large a value in them can become.

The bounds follow from the weights: whether a value may overflow is known before any text is, see ``graph``.
"""

import math
from typing import NamedTuple

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from predictor.checkpoint.families import Activation
from predictor.checkpoint.weights import Weights

# Magnitudes up to this stay finite in float32 when thousands of their squares are summed.
BOUND = 1e15


class Rows(NamedTuple):
    """Rows in the graph, their width, the largest magnitude that a value in them can have, and the largest length.

    A row's length is the root of the sum of its squares; after a norm it is hardly more than one value can be.
    """

    node: ov.Node
    width: int
    bound: float
    length: float


class Parts:
    """Builds rows from rows and the tensors of a checkpoint.

    Args:
        weights: the checkpoint's.
        norm_eps: of every layer norm.
        norm_bias: whether layer norms have biases.
    """

    def __init__(self, weights: Weights, *, norm_eps: float, norm_bias: bool) -> None:
        self._weights = weights
        self._norm_eps = norm_eps
        self._norm_bias = norm_bias
        self._rows_axis = op.constant(np.array(0, np.int64))
        self._tensors: dict[str, NDArray[np.float32]] = {}
        # Layers that share their weights share the constants too.
        self._constants: dict[str, ov.Node] = {}
        self.always_finite = True

    def keep(self, node: ov.Node, width: int, bound: float, length: float = math.inf) -> Rows:
        """Give rows, and note whether they may hold a number that is not finite."""
        # A bound that is no number is no bound.
        self.always_finite = self.always_finite and bound <= BOUND
        if not bound <= BOUND:
            return Rows(node, width, math.inf, math.inf)
        return Rows(node, width, bound, min(length, math.sqrt(width) * bound))

    def gathered(self, node: ov.Node, indices: ov.Node) -> ov.Node:
        """Give the rows of a matrix at these indices, whatever their shape."""
        return op.gather(node, indices, self._rows_axis)

    def added(self, one: Rows, other: Rows) -> Rows:
        """Add rows to rows."""
        return self.keep(op.add(one.node, other.node), one.width, one.bound + other.bound)

    def multiplied(self, one: Rows, other: Rows) -> Rows:
        """Multiply rows by rows, value by value."""
        return self.keep(op.multiply(one.node, other.node), one.width, one.bound * other.bound)

    def linear(self, rows: Rows, name: str, outputs: int, *, bias: bool = True, part: int = 0, parts: int = 1) -> Rows:
        """Add a linear layer, or one of several whose weights are stored as one matrix, one below the other."""
        weight = self.constant(name + ".weight", (outputs, rows.width), part=part, parts=parts)
        node = op.matmul(rows.node, weight, transpose_a=False, transpose_b=True)
        # No row of the weights is longer than this.
        bound = math.sqrt(rows.width) * self.largest(name + ".weight") * rows.length
        if bias:
            node = op.add(node, self.constant(name + ".bias", (outputs,), part=part, parts=parts))
            bound += self.largest(name + ".bias")
        return self.keep(node, outputs, bound)

    def layer_norm(self, rows: Rows, name: str) -> Rows:
        """Add a layer norm."""
        normal = op.mvn(rows.node, shape(-1), normalize_variance=True, eps=self._norm_eps, eps_mode="INSIDE_SQRT")
        node = op.multiply(normal, self.constant(name + ".weight", (rows.width,)))
        # One element takes the whole variance at most; of rows that may not be finite, nothing is known afterwards.
        root = math.sqrt(rows.width)
        bound = length = root * self.largest(name + ".weight")
        if self._norm_bias:
            node = op.add(node, self.constant(name + ".bias", (rows.width,)))
            bound += self.largest(name + ".bias")
            length += root * self.largest(name + ".bias")
        return self.keep(node, rows.width, bound if rows.bound <= BOUND else math.inf, length)

    def largest(self, name: str) -> float:
        """Give the largest magnitude in a tensor that is part of the graph already."""
        return self._weights.largest(name)

    def constant(self, name: str, size: tuple[int, ...], *, part: int = 0, parts: int = 1) -> ov.Node:
        """Give a tensor of this size, or that part of one that holds several: a view of the mapped file.

        A vector becomes a matrix of one row.
        """
        key = name if parts == 1 else f"{name}[{part}]"
        if key not in self._constants:
            whole = self.tensor(name, (parts * size[0], *size[1:]))
            view = whole[part * size[0] : (part + 1) * size[0]]
            self._constants[key] = op.constant(view if len(size) > 1 else view[None], shared_memory=True, name=key)
        return self._constants[key]

    def tensor(self, name: str, size: tuple[int, ...]) -> NDArray[np.float32]:
        """Give a tensor of the checkpoint."""
        if name not in self._tensors:
            self._tensors[name] = self._weights.tensor(name, shape=size)
        return self._tensors[name]


def bounded(rows: Rows) -> Rows:
    """Clamp rows that may not be finite, so that a masked neighbour's NaN or infinity has no weight."""
    if rows.bound <= BOUND:
        return rows
    return Rows(op.clamp(rows.node, -BOUND, BOUND), rows.width, BOUND, math.sqrt(rows.width) * BOUND)


def sums(rows: Rows) -> ov.Node:
    """Give each row's sum: finite if all its terms are."""
    return op.reduce_sum(rows.node, op.constant(np.array([1], np.int64)), keep_dims=False)


def activated(rows: Rows, activation: Activation) -> Rows:
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


def shape(*sizes: int) -> ov.Node:
    """Give sizes as a constant."""
    return op.constant(np.array(sizes, np.int64))
