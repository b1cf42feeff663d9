"""The pipeline's ports: a cache and a predictor."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from serving.http.reply import Headers
from serving.scores import ScoresAre
from transformer.pipeline.answer import Answer


class Scored(NamedTuple):
    """One answer of the predictor.

    Attributes:
        version: the model that made it.
        labels: its labels in class order.
        scores: a score per label for every text, in the order asked.
        truncated: indices of texts the model read only in part.
        scores_are: what the scores are.
    """

    version: str
    labels: Sequence[str]
    scores: Sequence[Sequence[float]]
    truncated: frozenset[int]
    scores_are: ScoresAre = "softmax"


class Cache(Protocol):
    """Port: where answers are kept. Failures read as absence."""

    @property
    def peek(self) -> Callable[[bytes], Answer | None]:
        """Give the look-up that costs no round trip."""

    async def fetch(
        self,
        keys: Sequence[bytes],
        read_all: Callable[[Sequence[bytes | None]], list[Answer | None]],
        *,
        patient: bool = False,
    ) -> list[Answer | None]:
        """Look up keys that ``peek`` does not know; ``patient`` if there is no other way to an answer."""

    def store(self, answers: Sequence[tuple[bytes, Answer]]) -> None:
        """Keep answers; returns at once."""


class Predictor(Protocol):
    """Port: where missing answers come from."""

    async def score(self, texts: Sequence[str], headers: Headers) -> Scored:
        """Get every text's scores from one model version."""
