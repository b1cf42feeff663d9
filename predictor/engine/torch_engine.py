"""The reference engine: transformers' own model on torch, on a GPU where there is one."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from predictor.checkpoint.artifact import Checkpoint
from predictor.checkpoint.weights import Weights
from predictor.engine import packing
from predictor.engine.base import Logits
from predictor.engine.int8 import cpu_flags
from predictor.errors import CheckpointError, EngineUnavailableError
from predictor.settings import PrecisionName

# One more forward costs as much as this many tokens of padding.
_FORWARD_TOKENS = 48
_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


class TorchEngine:
    """Padded batches through transformers, in f32 or with the weights in bf16.

    Args:
        checkpoint: safetensors weights.
        precision: ``auto`` takes bf16 where the device multiplies it natively, else f32.
        threads: CPU threads of a forward.

    Raises:
        CheckpointError: the weights cannot be used, or are quantised.
        EngineUnavailableError: the device has no bf16 and bf16 was asked for.
    """

    name = "torch"

    def __init__(self, *, checkpoint: Checkpoint, precision: PrecisionName, threads: int) -> None:
        if checkpoint.quantised:
            raise CheckpointError(f"{checkpoint.graph_file} needs PREDICTOR_ENGINE=openvino")
        _check_weights(checkpoint)
        torch.set_num_threads(threads)
        self.threads = threads
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.precision = _choose_precision(self._device, precision)
        _prefer_onednn()
        self._model = _load(checkpoint, torch.bfloat16 if self.precision == "bf16" else torch.float32, self._device)

    @property
    def arithmetic(self) -> str:
        """Such as ``torch-bf16``, with the device where it is not the CPU."""
        place = "" if self._device.type == "cpu" else f"-{self._device.type}"
        return f"{self.name}-{self.precision}{place}"

    def divide(self, lengths: Sequence[int]) -> list[list[int]]:
        """Group by length where padding would cost more than another forward."""
        return packing.divide(lengths, cost=lambda longest, _tokens, texts: longest * texts, forward=_FORWARD_TOKENS)

    def forward(self, ids: Sequence[NDArray[np.int32]]) -> Logits:
        """Give logits float32 [texts, labels]; to within rounding the same whatever is beside a text."""
        width = max(len(text) for text in ids)
        input_ids = np.zeros((len(ids), width), np.int64)
        attention_mask = np.zeros((len(ids), width), np.int64)
        for row, text in enumerate(ids):
            input_ids[row, : len(text)] = text
            attention_mask[row, : len(text)] = 1
        with torch.inference_mode():
            logits = self._model(
                input_ids=torch.from_numpy(input_ids).to(self._device),
                attention_mask=torch.from_numpy(attention_mask).to(self._device),
            ).logits
        return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)


def _check_weights(checkpoint: Checkpoint) -> None:
    """Check that every tensor is finite; transformers itself reports missing ones and wrong shapes."""
    weights = Weights(checkpoint.weight_files)
    for name, shape in weights.shapes().items():
        weights.tensor(name, shape=shape)


def _load(checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            checkpoint.directory, dtype=dtype, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{checkpoint.graph_file} cannot be loaded: {error}") from error
    # transformers fills a missing tensor with random numbers and goes on.
    if report["missing_keys"]:
        raise CheckpointError(f"{checkpoint.graph_file} has no tensor {min(report['missing_keys'])}")
    return model.eval().to(device)


def _choose_precision(device: torch.device, asked: PrecisionName) -> str:
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else bool(cpu_flags() & _BF16_FLAGS)
    if asked == "bf16" and not native:
        raise EngineUnavailableError("PREDICTOR_PRECISION=bf16 needs a device that multiplies bf16 natively")
    return "bf16" if native and asked != "f32" else "f32"


def _prefer_onednn() -> None:
    """Send f32 products to oneDNN on CPUs where torch's own library, MKL, runs at half speed.

    By its name the setting allows rounding to bf16. oneDNN does so only on CPUs with AMX; there MKL is fast and the
    setting is left alone, so f32 stays f32.
    """
    if "amx_bf16" not in cpu_flags():
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
