"""Finds and verifies a checkpoint directory, and gives its content a name: the model version.

Two layouts are served: an untouched Hugging Face directory (config.json, model.safetensors, tokenizer.json or
vocab.txt) and the same with model.safetensors replaced by a quantised graph (openvino_model.xml, openvino_model.bin and
quantization.json).
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictor.errors import CheckpointError

_ARCHITECTURE = "DistilBertForSequenceClassification"
_CHUNK_BYTES = 1 << 20
_VERSION_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class DistilBertConfig:
    """The numbers of config.json that decide the graph, and the labels in class-index order."""

    dim: int
    layers: int
    heads: int
    hidden_dim: int
    vocab_size: int
    positions: int
    labels: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified directory: what its config says and which files make the model."""

    directory: Path
    config: DistilBertConfig
    weight_files: tuple[Path, ...]
    tokenizer_files: tuple[Path, ...]
    quantised: bool

    @property
    def graph_file(self) -> Path:
        """The file the engine opens: safetensors weights, or the quantised graph's xml."""
        return self.weight_files[0]


def find_checkpoint(directory: Path) -> Checkpoint:
    """Read and check ``directory``'s config and see that every file of the model is there.

    Raises:
        CheckpointError: with a sentence that names the file and what is wrong with it.
    """
    if not directory.is_dir():
        raise CheckpointError(f"{directory} is no directory: set PREDICTOR_MODEL_DIR to a checkpoint")
    config = _read_config(directory / "config.json")
    quantised = (directory / "openvino_model.xml").exists() or (directory / "quantization.json").exists()
    names = ("openvino_model.xml", "openvino_model.bin", "quantization.json") if quantised else ("model.safetensors",)
    if quantised:
        _check_quantisation(directory / "quantization.json")
    weight_files = tuple(directory / name for name in names)
    for file in weight_files:
        _check_not_empty(file)
    return Checkpoint(
        directory=directory,
        config=config,
        weight_files=weight_files,
        tokenizer_files=_tokenizer_files(directory),
        quantised=quantised,
    )


def content_digest(checkpoint: Checkpoint) -> bytes:
    """Give a digest of the bytes of every file that makes the model: weights, config and tokenizer."""
    digest = hashlib.sha256()
    for file in (checkpoint.directory / "config.json", *checkpoint.weight_files, *checkpoint.tokenizer_files):
        # A name and a length before the bytes: two directories never run into one stream.
        digest.update(f"{file.name}:{file.stat().st_size}\n".encode())
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.digest()


def model_version(content: bytes, *, max_length_tokens: int, arithmetic: str) -> str:
    """Give 16 hex digits that change whenever an answer could.

    Args:
        content: from ``content_digest``.
        max_length_tokens: where texts are cut.
        arithmetic: the engine and its precision, such as ``openvino-bf16``.
    """
    version = hashlib.sha256(content + f"max_length_tokens={max_length_tokens}\narithmetic={arithmetic}\n".encode())
    return version.hexdigest()[:_VERSION_DIGITS]


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file is missing, or not a JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return value


def _read_config(path: Path) -> DistilBertConfig:
    raw = read_json(path)
    architectures = raw.get("architectures") or [f"model_type {raw.get('model_type')}"]
    if _ARCHITECTURE not in architectures:
        raise CheckpointError(f"{path} describes {', '.join(map(str, architectures))}, only {_ARCHITECTURE} is served")
    if raw.get("activation", "gelu") != "gelu":
        raise CheckpointError(f"{path} asks for activation {raw['activation']}, only gelu is served")
    if raw.get("problem_type") == "multi_label_classification" or raw.get("problem_type") == "regression":
        raise CheckpointError(f"{path} describes {raw['problem_type']}, only single-label classification is served")
    config = DistilBertConfig(
        dim=_number(raw, "dim", path),
        layers=_number(raw, "n_layers", path),
        heads=_number(raw, "n_heads", path),
        hidden_dim=_number(raw, "hidden_dim", path),
        vocab_size=_number(raw, "vocab_size", path),
        positions=_number(raw, "max_position_embeddings", path),
        labels=_labels(raw, path),
    )
    if config.dim % config.heads:
        raise CheckpointError(f"{path}: dim {config.dim} is no multiple of n_heads {config.heads}")
    return config


def _number(raw: dict[str, Any], key: str, path: Path) -> int:
    value = raw.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(f"{path}: {key} must be a positive whole number")
    return value


def _labels(raw: dict[str, Any], path: Path) -> tuple[str, ...]:
    """Give id2label in index order; transformers' own default of two labels when the config names none."""
    named = raw.get("id2label")
    if named is None:
        return tuple(f"LABEL_{index}" for index in range(int(raw.get("num_labels", 2))))
    try:
        by_index = {int(index): str(label) for index, label in named.items()}
    except (AttributeError, ValueError) as error:
        raise CheckpointError(f"{path}: id2label must map class indices to names") from error
    if not by_index or sorted(by_index) != list(range(len(by_index))):
        raise CheckpointError(f"{path}: id2label must name every class from 0 on")
    labels = tuple(by_index[index] for index in range(len(by_index)))
    if len(set(labels)) != len(labels):
        raise CheckpointError(f"{path}: id2label names one label twice")
    return labels


def _tokenizer_files(directory: Path) -> tuple[Path, ...]:
    for name in ("tokenizer.json", "vocab.txt"):
        file = directory / name
        if file.is_file():
            _check_not_empty(file)
            # Only beside a bare vocabulary does this file decide anything: lower case or not.
            extra = directory / "tokenizer_config.json"
            return (file, extra) if name == "vocab.txt" and extra.is_file() else (file,)
    raise CheckpointError(f"{directory} has neither tokenizer.json nor vocab.txt")


def _check_quantisation(path: Path) -> None:
    precision = read_json(path).get("precision")
    if precision != "int8":
        raise CheckpointError(f"{path} says precision {precision}, only int8 is served")


def _check_not_empty(file: Path) -> None:
    if not file.is_file():
        raise CheckpointError(f"{file} is missing")
    if file.stat().st_size == 0:
        raise CheckpointError(f"{file} is empty")
