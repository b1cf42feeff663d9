"""Reads single values of config.json under a family's own names for them."""

import json
from collections.abc import Mapping
from typing import Any

from predictor.checkpoint.families import Activation, Family
from predictor.errors import CheckpointError

_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


class Reader:
    """Reads values; what is no value of its kind is a CheckpointError that names it.

    Args:
        raw: the JSON object.
        family: says which names and defaults count.
        where: the file's name in error sentences.
    """

    def __init__(self, raw: Mapping[str, Any], family: Family, where: str) -> None:
        self._raw = raw
        self._family = family
        self._where = where

    def key(self, usual: str) -> str:
        """Give the family's own name of a number."""
        return self._family.keys.get(usual, usual)

    def number(self, usual: str, default: int | None = None, *, least: int = 1) -> int:
        """Give a whole number; its own name and the usual one must not contradict each other."""
        values = {name: self._raw[name] for name in (self.key(usual), usual) if self._raw.get(name) is not None}
        values = values or {self.key(usual): self._family.defaults.get(usual, default)}
        for name, value in values.items():
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                kind = {1: "a positive whole number", 0: "a whole number, not negative"}.get(least)
                raise CheckpointError(f"{self._where}: {name} must be {kind or f'a whole number from {least} on'}")
        if len(set(values.values())) > 1:
            said = " and ".join(f"{name} {value}" for name, value in values.items())
            raise CheckpointError(f"{self._where} contradicts itself: {said}")
        return int(next(iter(values.values())))

    def norm_eps(self) -> float:
        """Give what layer norms add to the variance."""
        if self._family.norm_eps is not None:
            return self._family.norm_eps
        key = self._family.norm_eps_key
        value = self._raw.get(key, self._family.defaults.get(key, 1e-12))
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value < 1:
            raise CheckpointError(f"{self._where}: {key} must be a number between 0 and 1")
        return float(value)

    def flag(self, key: str, *, default: bool = False) -> bool:
        """Give a switch."""
        value = self._raw.get(key, default)
        if not isinstance(value, bool):
            raise CheckpointError(f"{self._where}: {key} must be true or false, it is {json.dumps(value)}")
        return value

    def activation(self, key: str) -> Activation:
        """Give the activation of this name."""
        named = self._raw.get(key, self._family.defaults.get(key, "gelu"))
        if named not in _ACTIVATIONS:
            raise CheckpointError(f"{self._where} asks for {key} {named}; served are {', '.join(_ACTIVATIONS)}")
        return _ACTIVATIONS[named]
