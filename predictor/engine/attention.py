"""Attention on the grid, where texts lie side by side, between rows that are packed."""

from collections.abc import Callable

import numpy as np
import openvino as ov
from openvino import opset15 as op

from predictor.engine.rows import Parts, Rows, shape

Terms = Callable[[Rows, Rows], ov.Node]
"""What is added to the scores of queries and keys, both heads on the grid."""


class Attention:
    """Moves packed rows into the grid, has cells attend to those of their own text, and moves the answers back.

    Args:
        parts: of the graph.
        inputs: the graph's, by name.
        heads: of equal width.
        scale: of the products of queries and keys; None: one over the root of a head's width.
    """

    def __init__(self, parts: Parts, inputs: dict[str, ov.Node], heads: int, *, scale: float | None = None) -> None:
        self._parts = parts
        self._inputs = inputs
        self._heads = heads
        self._scale = [] if scale is None else [op.constant(np.float32(scale))]

    def __call__(
        self, query: Rows, key: Rows, value: Rows, *, mask: ov.Node, first: bool, terms: Terms | None = None
    ) -> Rows:
        """Give a row for each row of ``query``.

        Args:
            query: of all tokens, or of each text's first token.
            key: of all tokens, as ``value``; both finite, whatever the texts' numbers are.
            value: what is attended to.
            mask: of the cells that ``query`` is moved into.
            first: whether ``query`` holds first tokens alone.
            terms: what is added to the scores beside the mask.
        """
        asks = "first_" if first else ""
        query, key, value = (
            rows._replace(node=self._to_grid(rows, self._inputs[name]))
            for rows, name in ((query, asks + "grid"), (key, "grid"), (value, "grid"))
        )
        if terms:
            mask = op.add(terms(query, key), mask)
        node = op.scaled_dot_product_attention(query.node, key.node, value.node, mask, *self._scale)
        node = op.transpose(node, shape(0, 2, 1, 3))
        node = op.reshape(node, shape(-1, value.width), special_zero=False)
        # Heads may look at different tokens: nothing but the bound of a single value still holds.
        return self._parts.keep(self._parts.gathered(node, self._inputs[asks + "cells"]), value.width, value.bound)

    def _to_grid(self, packed: Rows, grid: ov.Node) -> ov.Node:
        """Turn [T, dim] into heads on the grid, [R, heads, S, dim / heads]."""
        cells = self._parts.gathered(packed.node, grid)
        cells = op.reshape(cells, shape(0, 0, self._heads, packed.width // self._heads), special_zero=True)
        return op.transpose(cells, shape(0, 2, 1, 3))
