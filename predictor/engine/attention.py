"""Attention on the grid, where texts lie side by side, between rows that are packed."""

import openvino as ov
from openvino import opset15 as op

from predictor.engine.rows import Parts, Rows, shape


class Attention:
    """Moves packed rows into the grid, has cells attend to those of their own text, and moves the answers back.

    Args:
        parts: of the graph.
        inputs: the graph's, by name.
        heads: of equal width.
    """

    def __init__(self, parts: Parts, inputs: dict[str, ov.Node], heads: int) -> None:
        self._parts = parts
        self._inputs = inputs
        self._heads = heads

    def __call__(self, query: Rows, key: Rows, value: Rows, *, mask: ov.Node, first: bool) -> Rows:
        """Give a row for each row of ``query``.

        Args:
            query: of all tokens, or of each text's first token.
            key: of all tokens, as ``value``; both finite, whatever the texts' numbers are.
            value: what is attended to.
            mask: of the cells that ``query`` is moved into.
            first: whether ``query`` holds first tokens alone.
        """
        asks = "first_" if first else ""
        node = op.scaled_dot_product_attention(
            self._to_grid(query, self._inputs[asks + "grid"]),
            self._to_grid(key, self._inputs["grid"]),
            self._to_grid(value, self._inputs["grid"]),
            mask,
        )
        node = op.transpose(node, shape(0, 2, 1, 3))
        node = op.reshape(node, shape(-1, value.width), special_zero=False)
        # Heads may look at different tokens: nothing but the bound of a single value still holds.
        return self._parts.keep(self._parts.gathered(node, self._inputs[asks + "cells"]), value.width, value.bound)

    def _to_grid(self, packed: Rows, grid: ov.Node) -> ov.Node:
        """Turn [T, dim] into heads on the grid, [R, heads, S, dim / heads]."""
        cells = self._parts.gathered(packed.node, grid)
        cells = op.reshape(cells, shape(0, 0, self._heads, packed.width // self._heads), special_zero=True)
        return op.transpose(cells, shape(0, 2, 1, 3))
