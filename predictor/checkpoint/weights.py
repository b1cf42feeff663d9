"""Reads the tensors of safetensors files, float32 ones without a copy, and checks that each is finite."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from predictor.errors import CheckpointError

_DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F64": np.dtype("<f8"),
}
# Layer norms of checkpoints that were converted from TensorFlow.
_OLD_NAMES = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
_WRAPPERS = {
    "module.": "torch.nn.DataParallel",
    "_orig_mod.": "torch.compile",
    "model.": "a module around the model",
}
# Small enough to stay in the CPU's cache.
_SPAN = 1 << 16


class Weights:
    """The tensors of a checkpoint, in one file or in shards, mapped into memory.

    Args:
        files: safetensors files.

    Raises:
        CheckpointError: one is missing, truncated or not a safetensors file, or two hold a tensor of the same name.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = [_File(path) for path in files]
        self._largest: dict[str, float] = {}
        self._holders: dict[str, _File] = {}
        for file in self._files:
            for name in file.header:
                if name in self._holders:
                    raise CheckpointError(f"{file.path} and {self._holders[name].path} both hold {name}")
                self._holders[name] = file

    @property
    def names(self) -> set[str]:
        """The names of all tensors, as they are stored."""
        return set(self._holders)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Give the shape of every tensor of floating-point numbers."""
        entries = {name: file.header[name] for name, file in self._holders.items()}
        return {n: tuple(_integers(entry["shape"])) for n, entry in entries.items() if entry["dtype"] in _DTYPES}

    def tensor(self, name: str, *, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Give one tensor as float32: a view of the file if it is stored so, else a converted copy.

        Raises:
            CheckpointError: the tensor is missing, not of the shape or type that the config implies, or not finite.
        """
        stored = self._stored_name(name)
        file = self._holders.get(stored)
        if file is None:
            raise CheckpointError(self._missing(name))
        values = file.read(stored, shape)
        self._largest[name] = largest(values)
        if not math.isfinite(self._largest[name]):
            raise CheckpointError(f"{file.path}: {stored} holds NaN or infinity: the checkpoint is damaged")
        return values

    def largest(self, name: str) -> float:
        """Give the largest magnitude in a tensor that ``tensor`` has given."""
        return self._largest[name]

    def _stored_name(self, name: str) -> str:
        for new, old in _OLD_NAMES.items():
            if name.endswith(new) and name not in self._holders:
                return name.removesuffix(new) + old
        return name

    def _missing(self, name: str) -> str:
        path = self._files[0].path
        for wrapper, maker in _WRAPPERS.items():
            if any(each.startswith(wrapper) and each.endswith(name) for each in self._holders):
                return (
                    f"{path}: its tensors' names begin with {wrapper}, as {maker} saves them:"
                    " save the model inside instead"
                )
        if any("lora_" in each for each in self._holders):
            return f"{path} has no tensor {name}, it holds an adapter (LoRA): merge it into its model first"
        return f"{path} has no tensor {name}"


def largest(values: NDArray[np.float32]) -> float:
    """Give the largest magnitude; NaN or infinity where an element is."""
    flat = values.reshape(-1)
    spans = [flat[at : at + _SPAN] for at in range(0, len(flat), _SPAN)]
    # numpy's, unlike Python's, let no NaN through.
    return float(np.max([(span.max(), -span.min()) for span in spans], initial=0.0))


class _File:
    """One safetensors file, checked against its own header."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise CheckpointError(f"{path} is missing")
        try:
            # The library checks the header against the file's size; a cut-off download stops here.
            with safe_open(path, framework="numpy"):
                pass
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is truncated or no safetensors file: {error}") from error
        with path.open("rb") as file:
            header_bytes = int.from_bytes(file.read(8), "little")
            self.header: dict[str, dict[str, object]] = json.loads(file.read(header_bytes))
        self.header.pop("__metadata__", None)
        # Copy-on-write: the engine avoids a copy only for writable memory, though it never writes.
        self._data = np.memmap(path, dtype=np.uint8, mode="c", offset=8 + header_bytes)

    def read(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        entry = self.header[name]
        if tuple(_integers(entry["shape"])) != shape:
            raise CheckpointError(f"{self.path}: {name} has shape {entry['shape']}, config.json implies {list(shape)}")
        dtype = _DTYPES.get(str(entry["dtype"]))
        if dtype is None:
            raise CheckpointError(f"{self.path}: {name} is {entry['dtype']}, only {', '.join(_DTYPES)} are served")
        begin, end = _integers(entry["data_offsets"])
        stored = self._data[begin:end].view(dtype).reshape(shape)
        if entry["dtype"] == "BF16":
            return np.asarray(np.left_shift(stored, 16, dtype=np.uint32).view(np.float32), dtype=np.float32)
        # A float64 beyond float32 becomes infinite, which the caller refuses by name.
        with np.errstate(over="ignore"):
            return np.require(stored, np.float32, ["ALIGNED"])


def _integers(value: object) -> list[int]:
    if not isinstance(value, list):
        raise CheckpointError("a safetensors header without shapes")
    return [int(v) for v in value]
