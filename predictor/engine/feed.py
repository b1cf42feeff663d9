"""One batch as the graph's inputs: tokens packed, and where each goes in attention's grid.

Every linear layer sees one matrix of the real tokens of all texts; only attention sees a padded grid, through gathers.
Short texts share a row of that grid, masked from each other.
"""

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from predictor.engine import packing

# An answer must not depend on its batch, so a text's sums have to run in the same order whoever its neighbours are. In
# a row of the attention grid it begins at a multiple of the widest softmax vector (512 bits of float32), and one longer
# than that at a multiple of AMX's tile (32 bf16). No row is narrower than a tile: narrower ones have other kernels.
GRID_MULTIPLE = 16
TILE = 32
# For the same reason no shared row is wider: beyond this many columns a product is summed in pieces, and a text on the
# border would be split in two.
_MOST_SHARED_COLUMNS = 512
# The cost of moving a cell into the grid and back, in columns that it attends to.
CELL_MOVE = 150
# Every new size needs kernels: a few ms once and 0.7 MB for good. So sizes are rounded up, to 16 steps an octave; the
# extra rows are ignored. Below 32 every size is exact, because each row slows a lone text down.
_STEPS_PER_OCTAVE = 16

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


def packed_feed(ids: Sequence[NDArray[np.int32]], *, padding_id: int | None = None) -> Feed:
    """Give the graph's inputs for one batch; logits beyond the batch's texts must be discarded.

    Args:
        ids: token ids of each text, shapes [tokens], none empty.
        padding_id: the padding token's id if positions are counted from it; a text may contain that token.
    """
    lengths = [len(text) for text in ids]
    slots = [slot(length) for length in lengths]
    columns, placed = packing.side_by_side(
        slots, step=GRID_MULTIPLE, least=TILE, most=_MOST_SHARED_COLUMNS, move=CELL_MOVE
    )
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
    # Cells without a text attend to their row's first column, so that their softmax is defined.
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
    if padding_id is not None:
        _count_from_padding(positions, ids, padding_id)
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


def _count_from_padding(positions: NDArray[np.int32], ids: Sequence[NDArray[np.int32]], padding_id: int) -> None:
    """Start positions after the padding token's id; that token in a text has its id as position and does not count."""
    positions += padding_id + 1
    start = 0
    for text in ids:
        real = text != padding_id
        if not real.all():
            positions[start : start + len(text)] = np.cumsum(real) * real + padding_id
        start += len(text)


def slot(length: int) -> int:
    """Give the columns that a text of ``length`` tokens takes in a row of the grid."""
    step = GRID_MULTIPLE if length <= GRID_MULTIPLE else TILE  # longest first in a row: each begins where it should
    return -(-length // step) * step


def rounded(size: int) -> int:
    """Give the next size that has kernels: at most a sixteenth larger."""
    step = max(1, (1 << (size.bit_length() - 1)) // _STEPS_PER_OCTAVE)
    return -(-size // step) * step
