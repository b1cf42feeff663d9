"""Divides a batch into forwards, so that one long text does not widen the attention grid of many short ones."""

from collections.abc import Sequence


def divide(lengths: Sequence[int], *, power: int, allowance: int) -> list[list[int]]:
    """Group texts of similar length: a group is closed when its padding would cost more than a forward of its own.

    Every text in a group costs as much as the group's longest. What that wastes is counted in ``length ** power`` and
    summed; beyond ``allowance`` the next text opens a new group.

    Args:
        lengths: tokens of each text.
        power: 2 where only attention is padded, 1 where everything is.
        allowance: the waste that equals one more forward's fixed cost, in units of ``length ** power``.

    Returns:
        Indices into ``lengths``, each exactly once; within and across groups the longest first.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    groups: list[list[int]] = []
    wasted = widest = 0
    for index in order:
        waste = widest - lengths[index] ** power
        if not groups or wasted + waste > allowance:
            groups.append([])
            wasted, widest, waste = 0, lengths[index] ** power, 0
        groups[-1].append(index)
        wasted += waste
    return groups
