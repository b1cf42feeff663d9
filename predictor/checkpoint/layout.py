"""Which files of a directory, or of a repository to be fetched, make up the model.

Needs only the standard library and the files' names.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from predictor.errors import CheckpointError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLED_WEIGHTS = "pytorch_model.bin"
QUANTISED = ("openvino_model.xml", "openvino_model.bin", "quantization.json")
TOKENIZER = "tokenizer.json"
TOKENIZER_CONFIG = "tokenizer_config.json"
# Each may affect tokens: the vocabularies, then what is added to them.
VOCABULARIES = (TOKENIZER, "vocab.txt", "vocab.json")
TOKENIZER_EXTRAS = (TOKENIZER_CONFIG, "special_tokens_map.json", "added_tokens.json", "merges.txt")
_SENTENCEPIECE = ("sentencepiece.bpe.model", "spiece.model", "spm.model")
_ADAPTER = "adapter_config.json"
_RESAVE = "AutoModelForSequenceClassification.from_pretrained(DIR).save_pretrained(DIR)"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files by purpose; with ``index`` the weights are the shards that the index names."""

    weights: tuple[str, ...]
    tokenizer: tuple[str, ...]
    quantised: bool = False
    index: bool = False
    pickled: bool = False


def choose(names: Collection[str], where: str) -> Layout:
    """Choose among the files that are there.

    Args:
        names: paths relative to the model's directory, with ``/``.
        where: the directory's name in error sentences.

    Raises:
        CheckpointError: something is missing; the sentence says what is there instead, and what to do.
    """
    check_config(names, where)
    tokenizer = choose_tokenizer(names, where)
    if QUANTISED[2] in names:
        return Layout(weights=QUANTISED, tokenizer=tokenizer, quantised=True)
    if WEIGHTS in names:
        return Layout(weights=(WEIGHTS,), tokenizer=tokenizer)
    if INDEX in names:
        return Layout(weights=(INDEX,), tokenizer=tokenizer, index=True)
    if PICKLED_WEIGHTS in names:
        return Layout(weights=(PICKLED_WEIGHTS,), tokenizer=tokenizer, pickled=True)
    raise CheckpointError(_no_weights(names, where))


def choose_tokenizer(names: Collection[str], where: str) -> tuple[str, ...]:
    """Choose the files that affect tokens, the vocabulary first.

    Raises:
        CheckpointError: there is no vocabulary that can be read.
    """
    vocabulary = next((name for name in VOCABULARIES if name in names), None)
    if vocabulary is None:
        pieces = next((name for name in _SENTENCEPIECE if name in names), None)
        raise CheckpointError(
            f"{where} has neither tokenizer.json nor vocab.txt"
            + (
                f", only {pieces}: make one with `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)`"
                if pieces
                else ""
            )
        )
    if vocabulary == "vocab.json" and "merges.txt" not in names:
        raise CheckpointError(f"{where} has vocab.json without merges.txt")
    return (vocabulary, *(name for name in TOKENIZER_EXTRAS if name in names))


def shards(index: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Give the files that an index of weights names.

    Raises:
        CheckpointError: it names none, or one outside the directory.
    """
    named = index.get("weight_map")
    if not isinstance(named, dict) or not named or not all(isinstance(file, str) for file in named.values()):
        raise CheckpointError(f"{where} names no files: weight_map must map tensors to them")
    files = tuple(sorted(set(named.values())))
    for file in files:
        if PurePosixPath(file).name != file or not file.endswith(".safetensors"):
            raise CheckpointError(f"{where} names {json.dumps(file)}, which is no safetensors file beside it")
    return files


def check_config(names: Collection[str], where: str) -> None:
    """Check that config.json is among the files.

    Raises:
        CheckpointError: it is not; the sentence says what the directory is instead.
    """
    if CONFIG in names:
        return
    if _ADAPTER in names:
        raise CheckpointError(_adapter(where))
    nested = sorted(name.removesuffix("/" + CONFIG) for name in names if name.endswith("/" + CONFIG))
    if nested:
        raise CheckpointError(f"{where} has no config.json, but {nested[0]} in it has: that is the model's directory")
    raise CheckpointError(f"{where}: config.json is missing")


def _no_weights(names: Collection[str], where: str) -> str:
    if _ADAPTER in names:
        return _adapter(where)
    if QUANTISED[0] in names:
        return (
            f"{where} has openvino_model.xml, but quantization.json is missing: another tool's export is not served,"
            " the model.safetensors that it was made from is"
        )
    if f"{PICKLED_WEIGHTS}.index.json" in names:
        return f"{where} has only pickled weights in shards: make model.safetensors with `{_RESAVE}`"
    other = next((n for n in names if n.endswith((".h5", ".msgpack", ".onnx", ".gguf", ".ckpt", ".pt"))), None)
    return f"{where}: {WEIGHTS} is missing" + (f"; {other} is not read" if other else "")


def _adapter(where: str) -> str:
    return (
        f"{where} holds an adapter (adapter_config.json) without its model: merge them with"
        " `AutoPeftModelForSequenceClassification.from_pretrained(DIR).merge_and_unload().save_pretrained(OUT)`"
    )


def pickled(where: str) -> str:
    """Say why a pickle is refused and what to do."""
    return (
        f"{where} has only {PICKLED_WEIGHTS}, a pickle, which may carry code and is not read: make model.safetensors"
        f" with `{_RESAVE}`, or fetch it with model-artifacts/fetch.py"
    )
