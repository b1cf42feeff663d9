"""What the distance between two tokens adds to their score: products of queries and keys with a table of distances.

A table's row for a distance is the same in every text, so each layer's projections of them are computed here, once. A
forward computes the products with the rows for those distances that occur in its grid, and picks each pair's.
"""

import math

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from predictor.checkpoint.config import ModelConfig
from predictor.checkpoint.families import DisentangledNames
from predictor.checkpoint.variant import Distances
from predictor.engine.rows import Parts, Rows, bounded, shape
from predictor.errors import CheckpointError

Table = NDArray[np.float32]


class Disentangled:
    """Gives the terms of every layer.

    Args:
        parts: of the graph.
        config: of the checkpoint.
        names: a layer's tensors.
        distances: which terms there are.
        prefix: what the encoder's tensors begin with.
        inputs: the graph's, by name.
    """

    def __init__(
        self,
        parts: Parts,
        config: ModelConfig,
        names: DisentangledNames,
        distances: Distances,
        *,
        prefix: str,
        inputs: dict[str, ov.Node],
    ) -> None:
        self._parts = parts
        self._config = config
        self._names = names
        self._distances = distances
        width = config.dim // config.heads
        self.scale = 1 / math.sqrt(width * (1 + distances.of_queries + distances.of_keys))
        self._table = self._read_table(prefix)
        self._picks = _Picks(parts, inputs, rows_of(distances, config.positions))

    def terms(self, name: str, query: Rows, key: Rows, *, first: bool) -> ov.Node:
        """Give what is added to the scores of a layer: [R, heads, S, S], or [R, heads, F, S] for first tokens.

        Args:
            name: the layer's.
            query: heads on the grid, [R, heads, S or F, dim / heads].
            key: the same, of all tokens.
            first: whether ``query`` holds first tokens alone.
        """
        names, shared, terms = self._names, self._distances.shared, []
        of_queries, of_keys = self._picks.places(first=first)
        if self._distances.of_queries:
            table = self._projected(name, names.key if shared else names.distance_key)
            terms.append(self._term(query, table, f"{name}.distance_keys", of_queries))
        if self._distances.of_keys:
            table = self._projected(name, names.query if shared else names.distance_query)
            terms.append(self._term(key, table, f"{name}.distance_queries", of_keys))
        return terms[0] if len(terms) == 1 else op.add(*terms)

    def _term(self, rows: Rows, table: Table, name: str, picks: ov.Node) -> ov.Node:
        """Multiply rows by a table and pick each pair's product."""
        some = self._picks.occurring(op.constant(table[None], name=name))
        products = op.matmul(rows.node, some, transpose_a=False, transpose_b=True)
        bound = rows.length * float(np.sqrt(np.square(table).sum(axis=-1).max()))
        products = bounded(self._parts.keep(products, table.shape[1], bound)).node
        # Side by side, for the library picks from one axis.
        products = op.reshape(products, shape(0, 0, -1), special_zero=True)
        return op.gather(products, picks, op.constant(np.array(2, np.int64)), batch_dims=1)

    def _read_table(self, prefix: str) -> Table:
        dim, parts, name = self._config.dim, self._parts, prefix + self._names.distances + ".weight"
        table = parts.tensor(name, (2 * self._distances.rows, dim))
        if not self._distances.normed:
            return table
        norm, wide = prefix + self._names.distances_norm, table.astype(np.float64)
        deviation = np.sqrt(wide.var(axis=1, keepdims=True) + self._config.norm_eps)
        scale, shift = (parts.tensor(f"{norm}.{each}", (dim,)) for each in ("weight", "bias"))
        return np.asarray((wide - wide.mean(axis=1, keepdims=True)) / deviation * scale + shift, dtype=np.float32)

    def _projected(self, name: str, projection: str) -> Table:
        """Give a layer's projection of the table as heads, [heads, rows, dim / heads], scaled as scores are."""
        dim, heads, name = self._config.dim, self._config.heads, f"{name}.{projection}"
        weight, bias = self._parts.tensor(f"{name}.weight", (dim, dim)), self._parts.tensor(f"{name}.bias", (dim,))
        with np.errstate(over="ignore", invalid="ignore"):
            projected = (self._table @ weight.T + bias) * np.float32(self.scale)
        if not np.isfinite(projected).all():
            raise CheckpointError(f"{name}: its products with the table of distances are too large for a model")
        return np.ascontiguousarray(projected.reshape(len(projected), heads, -1).transpose(1, 0, 2))


class _Picks:
    """Says which rows of the tables a forward needs, and which product is which pair's.

    Args:
        parts: of the graph.
        inputs: the graph's, by name.
        rows: each distance's row, as ``rows_of`` gives them.
    """

    def __init__(self, parts: Parts, inputs: dict[str, ov.Node], rows: NDArray[np.int32]) -> None:
        self._parts = parts
        self._inputs = inputs
        self._rows = op.constant(rows)
        self._most = len(rows) // 2
        self._places = parts.gathered(inputs["positions"], inputs["grid"])
        # No two tokens of a text are further apart than a row of the grid is wide.
        columns = self._size(inputs["grid"])
        self._begin = self._row(op.maximum(op.negative(columns), _whole(-self._most)))
        self._end = op.add(self._row(op.minimum(op.subtract(columns, _whole(1)), _whole(self._most))), _whole(1))
        self._made: dict[bool, tuple[ov.Node, ov.Node]] = {}

    def occurring(self, table: ov.Node) -> ov.Node:
        """Give those rows of a table [1, heads, rows, ...] whose distances may occur in the grid."""
        return op.slice(table, self._begin, self._end, _whole(1), _whole(2))

    def places(self, *, first: bool) -> tuple[ov.Node, ov.Node]:
        """Give the places of pairs' products, int32 [R, S, S] or [R, F, S] for first tokens.

        They are those among a row's products of queries and distances, one query after the other, and of keys.
        """
        if first not in self._made:
            asking = self._inputs["first_grid"] if first else self._places
            # First tokens have position 0.
            at = op.multiply(asking, _whole(0)) if first else asking
            distance = op.subtract(op.unsqueeze(at, shape(2)), op.unsqueeze(self._places, shape(1)))
            row, count = op.subtract(self._row(distance), self._begin), op.subtract(self._end, self._begin)
            self._made[first] = (
                op.add(row, op.unsqueeze(op.multiply(self._numbers(asking), count), shape(1))),
                op.add(row, op.multiply(self._numbers(self._places), count)),
            )
        return self._made[first]

    def _row(self, distance: ov.Node) -> ov.Node:
        return self._parts.gathered(self._rows, op.add(distance, _whole(self._most)))

    def _size(self, cells: ov.Node) -> ov.Node:
        return self._parts.gathered(op.shape_of(cells, "i32"), shape(1))

    def _numbers(self, cells: ov.Node) -> ov.Node:
        """Count columns from 0."""
        return op.range(_whole(0, scalar=True), op.squeeze(self._size(cells), shape(0)), _whole(1, scalar=True), "i32")


def _whole(number: int, *, scalar: bool = False) -> ov.Node:
    return op.constant(np.array(number if scalar else [number], np.int32))


def rows_of(distances: Distances, positions: int) -> NDArray[np.int32]:
    """Give the row of each distance in the table of distances.

    Args:
        distances: how they share rows.
        positions: how many there are.

    Returns:
        Rows [2 * positions - 1], of distances from ``1 - positions`` on: a query's position less a key's.
    """
    distance = np.arange(1 - positions, positions)
    row = distance.astype(np.float32)
    near = distances.near
    if near is not None and near < positions - 1:
        # In float32, as transformers rounds.
        far = np.maximum(np.abs(row), np.float32(near)) / np.float32(near)
        steps = np.log(far) / np.log(np.float32((distances.far - 1) / near)) * np.float32(near - 1)
        shared = np.sign(row) * (np.ceil(steps) + np.float32(near))
        row = np.where(np.abs(row) <= near, row, shared)
    return np.clip(row + distances.rows, 0, 2 * distances.rows - 1).astype(np.int32)
