"""What a server serves: one classifier of texts under a name. Each server brings its own."""

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any, NamedTuple

from serving.errors import ModelNotFoundError
from serving.http.reply import Headers, Reply
from serving.oip.tensors import Tensors
from serving.schema import RequestSchema

TIMEOUT = b"x-request-timeout-ms"
"""The header in which a caller says how many milliseconds it will wait."""

_NO_SUCH_VERSION = "There is no such version of the model here."


class Inferred(NamedTuple):
    """An answer in tensors, its headers, and its outcome for the counters."""

    tensors: Tensors
    headers: Headers
    outcome: str = "other"

    def check_version(self, asked: str | None) -> None:
        """Check that the answer is from the requested version, if one was requested.

        Raises:
            ModelNotFoundError: it is from another.
        """
        if asked and asked != self.tensors.model_version:
            raise ModelNotFoundError(_NO_SUCH_VERSION)


class Service(ABC):
    """One text classifier as every protocol sees it.

    Attributes:
        name: the model's name in routes.
        schema: checks what clients send.
    """

    name: str
    schema: RequestSchema

    @property
    @abstractmethod
    def version(self) -> str | None:
        """The model version that is served; None while unknown."""

    @abstractmethod
    def metadata(self) -> dict[str, Any]:
        """Give the protocol's model metadata."""

    @abstractmethod
    def predict(self, texts: Sequence[str], headers: Headers, *, started: float) -> Reply | Coroutine[Any, Any, Reply]:
        """Answer ``{"predictions": [...]}`` at once, or give a coroutine that will.

        Args:
            texts: valid texts, at least one.
            headers: the request's.
            started: when it arrived, by the performance counter.
        """

    @abstractmethod
    def infer(
        self, texts: Sequence[str], headers: Headers, *, started: float
    ) -> Inferred | Coroutine[Any, Any, Inferred]:
        """Answer in tensors at once, or give a coroutine that will; arguments as for ``predict``."""

    def check_model(self, name: str, version: str | None = None) -> None:
        """Check that a request is for this model, and for this version if it names one.

        Raises:
            ModelNotFoundError: it is for another.
        """
        if name != self.name:
            raise ModelNotFoundError
        served = self.version
        if version and served is not None and version != served:
            raise ModelNotFoundError(_NO_SUCH_VERSION)
