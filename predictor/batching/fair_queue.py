"""A queue of texts in which a large request cannot starve small ones.

Start-time fair queuing, in steps. Every request is cut into slices of ``quantum`` tokens. Its first slice joins the
level being served now, each further slice the next level. Levels are served in order, each first come, first served. So
a request of at most one quantum waits only for one slice of each request before it, however large they are; a large
request loses its turn after each quantum but no more than that, because levels only ever rise.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Ticket(Generic[T]):
    """One text's place in the queue."""

    __slots__ = ("item", "level", "tokens", "waiting")

    def __init__(self, item: T, *, tokens: int, level: int) -> None:
        self.item = item
        self.tokens = tokens
        self.level = level
        self.waiting = True


class FairQueue(Generic[T]):
    """Texts waiting for the engine, with their tokens counted. Not thread-safe.

    Args:
        quantum_tokens: tokens of one request that are served before the others get their turn.
    """

    def __init__(self, *, quantum_tokens: int) -> None:
        self.quantum_tokens = quantum_tokens
        self._levels: dict[int, deque[Ticket[T]]] = {}
        self._level_tokens: dict[int, int] = {}
        self._now = 0
        self.tokens = 0

    def __bool__(self) -> bool:
        return self.tokens > 0

    def push(self, items: Sequence[tuple[T, int]]) -> list[Ticket[T]]:
        """Add one request's items, each with its tokens (at least 1), and give their places in the same order."""
        before = 0
        tickets = []
        for item, tokens in items:
            ticket = Ticket(item, tokens=tokens, level=self._now + before // self.quantum_tokens)
            before += tokens
            self._levels.setdefault(ticket.level, deque()).append(ticket)
            self._count(ticket, tokens)
            tickets.append(ticket)
        return tickets

    def pop(self, *, budget_tokens: int) -> list[Ticket[T]]:
        """Take the next texts that fit ``budget_tokens`` together; always at least one, whatever its size."""
        taken: list[Ticket[T]] = []
        left = budget_tokens
        while self._levels:
            self._now = min(self._levels)
            level = self._levels[self._now]
            while level:
                ticket = level[0]
                if ticket.waiting:
                    if taken and ticket.tokens > left:
                        return taken
                    left -= ticket.tokens
                    ticket.waiting = False
                    self._count(ticket, -ticket.tokens)
                    taken.append(ticket)
                level.popleft()
            del self._levels[self._now]
            self._level_tokens.pop(self._now, None)
        return taken

    def discard(self, tickets: Sequence[Ticket[T]]) -> None:
        """Withdraw texts that are no longer wanted; those already popped are left alone."""
        for ticket in tickets:
            if ticket.waiting:
                ticket.waiting = False
                self._count(ticket, -ticket.tokens)

    def waiting(self) -> Iterator[T]:
        """Give every waiting text, in no particular order."""
        return (ticket.item for level in self._levels.values() for ticket in level if ticket.waiting)

    def tokens_before(self, tokens: int) -> int:
        """Give the waiting tokens that are served before the last slice of a new request of this size."""
        last = self._now + max(0, tokens - 1) // self.quantum_tokens
        return sum(count for level, count in self._level_tokens.items() if level <= last)

    def _count(self, ticket: Ticket[T], tokens: int) -> None:
        self._level_tokens[ticket.level] = self._level_tokens.get(ticket.level, 0) + tokens
        self.tokens += tokens
