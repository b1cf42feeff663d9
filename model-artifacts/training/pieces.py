"""Learns word pieces by merging the most frequent neighbours.

The library's own trainer numbers pieces and breaks ties in an order that changes from run to run; this one gives the
same vocabulary for the same words.
"""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping

_CONTINUED = "##"
Pair = tuple[str, str]


def learn_pieces(counts: Mapping[str, int], size: int) -> list[str]:
    """Learn at most size pieces of words.

    Args:
        counts: how often each word occurs.
        size: pieces in all, single characters included.

    Returns:
        Pieces without repetition: characters first, then merges, the most frequent first. A piece that continues a
        word begins with "##".
    """
    words = [[word[0], *(_CONTINUED + letter for letter in word[1:])] for word in sorted(counts)]
    weights = [counts[word] for word in sorted(counts)]
    pieces = dict.fromkeys(sorted({piece for word in words for piece in word}))
    board = _PairBoard(words, weights)
    while len(pieces) < size and (pair := board.best()) is not None:
        pieces[board.merge(pair)] = None
    return list(pieces)[:size]


class _PairBoard:
    """Keeps count of all neighbouring pieces while words are merged."""

    def __init__(self, words: list[list[str]], weights: list[int]) -> None:
        self._words = words
        self._weights = weights
        self._counts: Counter[Pair] = Counter()
        self._places: defaultdict[Pair, set[int]] = defaultdict(set)
        for index in range(len(words)):
            self._add(index, 1)
        self._heap = [(-count, pair) for pair, count in self._counts.items()]
        heapq.heapify(self._heap)

    def best(self) -> Pair | None:
        """Give the most frequent pair that occurs at least twice; of equals, the first in the alphabet."""
        while self._heap:
            negative, pair = self._heap[0]
            count = self._counts[pair]
            if count < 2:
                heapq.heappop(self._heap)
            elif count != -negative:
                heapq.heapreplace(self._heap, (-count, pair))
            else:
                return pair
        return None

    def merge(self, pair: Pair) -> str:
        """Make the pair one piece wherever it stands."""
        merged = pair[0] + pair[1].removeprefix(_CONTINUED)
        for index in self._places.pop(pair):
            self._add(index, -1)
            self._words[index] = _merged(self._words[index], pair, merged)
            for grown in self._add(index, 1):
                heapq.heappush(self._heap, (-self._counts[grown], grown))
        return merged

    def _add(self, index: int, sign: int) -> set[Pair]:
        word = self._words[index]
        pairs = set()
        for pair in itertools.pairwise(word):
            self._counts[pair] += sign * self._weights[index]
            pairs.add(pair)
        if sign > 0:
            for pair in pairs:
                self._places[pair].add(index)
        return pairs


def _merged(word: list[str], pair: Pair, merged: str) -> list[str]:
    out: list[str] = []
    position = 0
    while position < len(word):
        if tuple(word[position : position + 2]) == pair:
            out.append(merged)
            position += 2
        else:
            out.append(word[position])
            position += 1
    return out
