"""Reads the tensors of a safetensors file without copying them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from predictor.errors import CheckpointError

_DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}


class WeightsFile:
    """The tensors of one ``model.safetensors``, mapped into memory and checked against the file's own header.

    Raises:
        CheckpointError: the file is missing, cut off or no safetensors file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
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
            self._header: dict[str, dict[str, object]] = json.loads(file.read(header_bytes))
        self._header.pop("__metadata__", None)
        # Copy-on-write: the engine takes only writable memory as it is, and nobody writes.
        self._data = np.memmap(path, dtype=np.uint8, mode="c", offset=8 + header_bytes)

    @property
    def names(self) -> set[str]:
        """The names of all tensors in the file."""
        return set(self._header)

    def tensor(self, name: str, *, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Give one tensor as float32: a view of the file when it is stored so, a converted copy otherwise.

        Raises:
            CheckpointError: the tensor is missing, or of another shape or type than the config implies.
        """
        entry = self._header.get(name)
        if entry is None:
            raise CheckpointError(f"{self._path} has no tensor {name}")
        if tuple(_integers(entry["shape"])) != shape:
            raise CheckpointError(f"{self._path}: {name} has shape {entry['shape']}, config.json implies {list(shape)}")
        dtype = _DTYPES.get(str(entry["dtype"]))
        if dtype is None:
            raise CheckpointError(f"{self._path}: {name} is {entry['dtype']}, only F32, F16 and BF16 are served")
        begin, end = _integers(entry["data_offsets"])
        stored = self._data[begin:end].view(dtype).reshape(shape)
        if entry["dtype"] == "BF16":
            return np.asarray(np.left_shift(stored, 16, dtype=np.uint32).view(np.float32), dtype=np.float32)
        return np.require(stored, np.float32, ["ALIGNED"])


def _integers(value: object) -> list[int]:
    if not isinstance(value, list):
        raise CheckpointError("a safetensors header without shapes")
    return [int(v) for v in value]
