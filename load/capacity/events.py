"""A discrete-event clock."""

import heapq
import itertools
from collections.abc import Callable
from typing import Any


class Events:
    """Actions in time order; equal times keep the order in which they were scheduled."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def at(self, time_s: float, action: Callable[..., None], *args: Any) -> None:
        """Schedule ``action(*args)``; a time that has passed means now."""
        heapq.heappush(self._heap, (max(time_s, self.now_s), next(self._order), action, args))

    def run(self, until_s: float) -> None:
        """Run every action up to and including ``until_s``, then set the clock there."""
        heap = self._heap
        while heap and heap[0][0] <= until_s:
            self.now_s, _, action, args = heapq.heappop(heap)
            action(*args)
        self.now_s = until_s
