"""What positions do inside attention: they turn queries and keys, and hide tokens that are too far away."""

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from predictor.engine.rows import Parts, Rows, shape

_ROOT_OF_2 = 2**0.5


class Rotation:
    """Turns each head's values in pairs, one of its first half with one of its second, further with each position.

    Args:
        parts: of the graph.
        at: the position of each row.
        positions: how many there are.
        heads: of equal width.
        width: of a head.
        theta: the base: pair p of n turns by theta to the power of -p/n a position.
    """

    def __init__(self, parts: Parts, at: ov.Node, *, positions: int, heads: int, width: int, theta: float) -> None:
        self._parts = parts
        self._heads = heads
        self._width = width
        self._cosines, self._sines = (
            op.unsqueeze(parts.gathered(op.constant(table), at), shape(1)) for table in angles(positions, width, theta)
        )

    def __call__(self, rows: Rows) -> Rows:
        """Turn rows of heads side by side."""
        heads = op.reshape(rows.node, shape(-1, self._heads, self._width), special_zero=False)
        halves = op.split(heads, op.constant(np.array(2, np.int64)), 2)
        one, other = halves.output(0), halves.output(1)
        turned = [
            op.subtract(op.multiply(one, self._cosines), op.multiply(other, self._sines)),
            op.add(op.multiply(other, self._cosines), op.multiply(one, self._sines)),
        ]
        node = op.reshape(op.concat(turned, 2), shape(-1, rows.width), special_zero=False)
        return self._parts.keep(node, rows.width, _ROOT_OF_2 * rows.bound)


def angles(positions: int, width: int, theta: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give each position's cosines and sines, [positions, width / 2], for heads of ``width`` and the base ``theta``."""
    # Rounded wherever transformers rounds: a far position times a rounded step is another angle.
    powers = np.power(theta, np.arange(0, width, 2, dtype=np.float32) / np.float32(width), dtype=np.float64)
    steps = np.float32(1) / powers.astype(np.float32)
    turned = np.arange(positions, dtype=np.float32)[:, None] * steps
    return np.cos(turned), np.sin(turned)


def distances(places: ov.Node, *, first: bool) -> ov.Node:
    """Give how many tokens lie between two cells, in whole numbers: bf16 knows no 257.

    A cell without a text has the position of a first token, and looks at one: softmax stays defined for it.

    Args:
        places: int32 [R, S], the position of the token in each cell.
        first: whether those that look are first tokens, which have position 0.

    Returns:
        int32 [R, 1, S, S], or [R, 1, 1, S] for first tokens.
    """
    columns = op.unsqueeze(places, shape(1, 2))
    return columns if first else op.abs(op.subtract(columns, op.unsqueeze(places, shape(1, 3))))


def near(mask: ov.Node, distance: ov.Node, window: int) -> ov.Node:
    """Hide what is further away than ``window`` tokens from a mask of 0 and -inf."""
    is_near = op.less_equal(distance, op.constant(np.array(window, np.int32)))
    # Computed, for a quantised graph may hold no constant that is not finite.
    hidden = op.log(op.constant(np.array(0, np.float32)))
    return op.select(is_near, mask, hidden)
