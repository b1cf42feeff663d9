"""Finds and verifies a checkpoint directory, and names its content: the model version.

Two layouts are served: an untouched Hugging Face directory (config.json, safetensors weights whole or in shards,
tokenizer.json or a vocabulary) and the same with the weights replaced by a quantised graph (openvino_model.xml,
openvino_model.bin and quantization.json).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from predictor.checkpoint import layout
from predictor.checkpoint.config import ModelConfig, check_no_stand_in, read_config, read_json
from predictor.checkpoint.tokenizer_options import TokenizerOptions, read_options
from predictor.errors import CheckpointError
from serving.scores import ScoresAre

_CHUNK_BYTES = 1 << 20
_VERSION_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A verified directory: its files, and what they say."""

    directory: Path
    config: ModelConfig
    weight_files: tuple[Path, ...]
    tokenizer_files: tuple[Path, ...]
    tokenizer: TokenizerOptions
    quantised: bool

    @property
    def graph_file(self) -> Path:
        """The file the engine opens: safetensors weights, the first of them, or the quantised graph's xml."""
        return self.weight_files[0]

    @property
    def longest_tokens(self) -> int:
        """Where texts are cut at the latest: the model's last position, or the tokenizer's limit if that is less."""
        said = self.tokenizer.max_length_tokens
        return self.config.longest_tokens if said is None else min(said, self.config.longest_tokens)


def find_checkpoint(directory: Path) -> Checkpoint:
    """Read and check ``directory``'s config, and check that every file of the model is there.

    Raises:
        CheckpointError: with a sentence that names the file and what is wrong with it.
    """
    if not directory.is_dir():
        raise CheckpointError(f"{directory} is not a directory: set PREDICTOR_MODEL_DIR to a checkpoint")
    names = _names(directory)
    layout.check_config(names, str(directory))
    config = read_config(read_json(directory / layout.CONFIG), str(directory / layout.CONFIG))
    found = layout.choose(names, str(directory))
    if found.pickled:
        raise CheckpointError(layout.pickled(str(directory)))
    weight_files = tuple(directory / name for name in found.weights)
    if found.index:
        (index,) = weight_files
        weight_files = tuple(directory / name for name in layout.shards(read_json(index), str(index)))
    if found.quantised:
        _check_quantisation(directory / layout.QUANTISED[2])
    tokenizer_files = tuple(directory / name for name in found.tokenizer)
    for file in (*weight_files, *tokenizer_files):
        _check_file(file)
    return Checkpoint(
        directory=directory,
        config=config,
        weight_files=weight_files,
        tokenizer_files=tokenizer_files,
        tokenizer=read_options(tokenizer_files, config),
        quantised=found.quantised,
    )


def content_digest(checkpoint: Checkpoint) -> bytes:
    """Give a digest of the bytes of every file that makes the model: weights, config and tokenizer."""
    digest = hashlib.sha256()
    for file in (checkpoint.directory / layout.CONFIG, *checkpoint.weight_files, *checkpoint.tokenizer_files):
        # Name and length before the bytes, so that two directories never give the same stream.
        digest.update(f"{file.name}:{file.stat().st_size}\n".encode())
        with file.open("rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
    return digest.digest()


def model_version(content: bytes, *, max_length_tokens: int, arithmetic: str, scores_are: ScoresAre) -> str:
    """Give 16 hex digits that change whenever an answer could.

    Args:
        content: from ``content_digest``.
        max_length_tokens: where texts are cut.
        arithmetic: the engine and its precision, such as ``openvino-bf16``.
        scores_are: how logits become scores.
    """
    made = f"max_length_tokens={max_length_tokens}\narithmetic={arithmetic}\nscores_are={scores_are}\n"
    return hashlib.sha256(content + made.encode()).hexdigest()[:_VERSION_DIGITS]


def _names(directory: Path) -> set[str]:
    """Give the files' names, and the paths of those one folder down."""
    names = set()
    for entry in os.scandir(directory):
        if entry.is_dir():
            try:
                names |= {f"{entry.name}/{inside.name}" for inside in os.scandir(entry.path)}
            except OSError:
                continue
        else:
            names.add(entry.name)
    return names


def _check_quantisation(path: Path) -> None:
    precision = read_json(path).get("precision")
    if precision != "int8":
        raise CheckpointError(f"{path} says precision {precision}, only int8 is served")


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise CheckpointError(f"{file} is missing")
    if file.stat().st_size == 0:
        raise CheckpointError(f"{file} is empty")
    with file.open("rb") as content:
        check_no_stand_in(file, content.read(256))
