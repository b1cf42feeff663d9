"""The engine as the rest of the predictor knows it."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


class Engine(Protocol):
    """Turns token ids into logits; called by one thread.

    A text's logits do not depend on its neighbours in a batch: bit for bit with OpenVINO on a CPU with AVX-512, to
    within rounding on others and with torch.
    """

    @property
    def name(self) -> str:
        """``openvino`` or ``torch``."""

    @property
    def precision(self) -> str:
        """What the weights and linear layers are computed in: ``f32``, ``bf16`` or ``int8``."""

    @property
    def arithmetic(self) -> str:
        """Everything about the arithmetic that an answer may depend on; part of the model version."""

    @property
    def threads(self) -> int:
        """The CPU threads one forward uses."""

    def divide(self, lengths: Sequence[int]) -> list[list[int]]:
        """Group texts of these token counts into forwards, as indices, each exactly once."""

    def forward(self, ids: Sequence[NDArray[np.int32]]) -> Logits:
        """Give logits float32 [texts, labels] for the token ids of each text, shapes [tokens], none empty."""
