"""What is served: one classifier under a name, its version, labels and metadata."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from predictor.batching.classifier import Classifier
from predictor.errors import NotFoundError
from predictor.protocol.oip import INPUT
from predictor.protocol.requests import Limits


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """One model as every protocol sees it."""

    name: str
    version: str
    labels: Sequence[str]
    engine: str
    precision: str
    arithmetic: str
    threads: int
    max_length_tokens: int
    deadline_s: float
    limits: Limits
    classifier: Classifier

    def check_name(self, name: str, version: str | None = None) -> None:
        """See that a request means this model, and this version when it names one.

        Raises:
            NotFoundError: it means another.
        """
        if name != self.name:
            raise NotFoundError("no such model")
        if version and version != self.version:
            raise NotFoundError("no such version of the model")

    def inputs(self) -> list[dict[str, Any]]:
        """Give the input tensors in OIP's words; -1 is any size."""
        return [{"name": INPUT, "datatype": "BYTES", "shape": [-1]}]

    def outputs(self) -> list[dict[str, Any]]:
        """Give the output tensors in OIP's words."""
        return [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, len(self.labels)]},
        ]

    def metadata(self) -> dict[str, Any]:
        """Give OIP model metadata; ``properties`` holds strings only."""
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": f"{self.engine}-{self.precision}",
            "inputs": self.inputs(),
            "outputs": self.outputs(),
            "properties": {
                "labels": orjson.dumps(list(self.labels)).decode(),
                "max_length_tokens": str(self.max_length_tokens),
                "max_texts": str(self.limits.max_texts),
                "max_text_chars": str(self.limits.max_text_chars),
                "precision": self.precision,
                "arithmetic": self.arithmetic,
                "engine": self.engine,
                "threads": str(self.threads),
            },
        }
