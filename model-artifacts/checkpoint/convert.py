"""Brings older checkpoints to the form that is served: safetensors weights."""

from pathlib import Path
from typing import Any

from checkpoint.errors import MissingPackageError, NotServableError


def weights_to_safetensors(source: Path, target: Path) -> None:
    """Convert a pickled PyTorch state dict; only tensors are read from it, no code it may carry is run.

    Raises:
        MissingPackageError: torch or safetensors is not installed.
        NotServableError: the file is no state dict.
    """
    try:
        import torch  # noqa: PLC0415 - fetching safetensors needs none of it
        from safetensors.torch import save_file  # noqa: PLC0415
    except ImportError:
        raise MissingPackageError(
            "This repository has no model.safetensors; converting its pytorch_model.bin needs torch and safetensors, "
            "which the extra predictor-torch installs."
        ) from None
    try:
        state: Any = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a broken pickle raises anything
        raise NotServableError(f"{source.name} is no PyTorch state dict ({type(error).__name__}).") from None
    tensors = {name: value for name, value in dict(state).items() if isinstance(value, torch.Tensor)}
    if not tensors:
        raise NotServableError(f"{source.name} holds no tensors.")
    # safetensors refuses tensors that share memory or are laid out in strides.
    save_file({name: value.detach().clone().contiguous() for name, value in tensors.items()}, target, {"format": "pt"})
