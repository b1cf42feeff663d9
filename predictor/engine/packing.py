"""Decides which forward each text of a batch goes into, and which texts share a row of attention's grid."""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

Cost = Callable[[int, int, int], int]
"""The cost of texts together, from the longest length, the sum of lengths, and their number."""


def divide(lengths: Sequence[int], *, cost: Cost, forward: int) -> list[list[int]]:
    """Group texts of similar length wherever another forward is cheaper than what the longest costs the others.

    Args:
        lengths: tokens of each text.
        cost: of the texts of one forward.
        forward: the fixed cost of one more, in the same unit.

    Returns:
        Indices into ``lengths``, each exactly once; within and across groups the longest first.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    sums = [0, *accumulate(lengths[index] for index in order)]
    ends = [place for place in range(1, len(order)) if lengths[order[place]] < lengths[order[place - 1]]]

    def together(first: int, end: int) -> int:
        return cost(lengths[order[first]], sums[end] - sums[first], end - first)

    def groups(first: int, end: int) -> list[list[int]]:
        def apart(place: int) -> int:
            return together(first, place) + together(place, end) + forward

        best = min((place for place in ends if first < place < end), key=apart, default=None)
        if best is None or apart(best) >= together(first, end):
            return [order[first:end]]
        return groups(first, best) + groups(best, end)

    return groups(0, len(order)) if order else []


def attention_cost(width: int, cells: int, move: int) -> int:
    """Give attention's cost in rows of ``width`` with room for ``cells``, in cells times columns attended to.

    Args:
        width: columns of a row.
        cells: cells that the rows have to hold.
        move: the cost of moving a cell into the grid and back, in columns.
    """
    return math.ceil(cells / width) * width * (width + move)


def side_by_side(slots: Sequence[int], *, step: int, least: int, most: int, move: int) -> tuple[int, list[list[int]]]:
    """Pack texts into rows at the lowest cost: several to a row, the longest first.

    Args:
        slots: columns each text takes, multiples of ``step``, none 0.
        step: rows are wider than the widest slot by multiples of this, up to twice as wide.
        least: narrowest row.
        most: widest row that may be shared.
        move: see ``attention_cost``.

    Returns:
        The width of every row, and each row's texts in their order, as indices into ``slots``.
    """
    order = sorted(range(len(slots)), key=lambda index: (-slots[index], index))
    widest = max(slots[order[0]], least)
    if widest > most:
        return widest, [[index] for index in order]
    widths = range(widest, max(widest, min(2 * widest, sum(slots), most)) + 1, step)
    fitted = [(width, _first_fit(slots, order, width)) for width in widths]
    return min(fitted, key=lambda fit: attention_cost(fit[0], len(fit[1]) * fit[0], move))


def _first_fit(slots: Sequence[int], order: Sequence[int], width: int) -> list[list[int]]:
    rows: list[list[int]] = []
    left: list[int] = []
    for index in order:
        slot = slots[index]
        for row, room in enumerate(left):
            if room >= slot:
                rows[row].append(index)
                left[row] -= slot
                break
        else:
            rows.append([index])
            left.append(width - slot)
    return rows
