"""Reads config.json: the family, the numbers that decide the graph, the labels, and how logits become scores.

Needs only the standard library, so that a download can check it before fetching the weights.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictor.checkpoint.distances import read_distances
from predictor.checkpoint.families import FAMILIES, Activation, DisentangledNames, Family, PreNormNames
from predictor.checkpoint.reader import Reader
from predictor.checkpoint.variant import Variant, read_variant
from predictor.errors import CheckpointError
from serving.scores import ScoresAre

_PROBLEMS = ("single_label_classification", "multi_label_classification", "regression")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The numbers of config.json that decide the graph, the labels in class-index order, and what scores are."""

    family: Family
    dim: int
    embedding_dim: int
    layers: int
    heads: int
    hidden_dim: int
    vocab_size: int
    positions: int
    token_types: int
    padding_id: int
    groups: int
    inner_layers: int
    norm_eps: float
    activation: Activation
    head_activation: Activation
    variant: Variant
    labels: tuple[str, ...]
    scores_are: ScoresAre
    tokenizer: str | None

    @property
    def counted_padding(self) -> int | None:
        """The padding token's id where positions are counted from it, else None."""
        return self.padding_id if self.family.counts_from_padding else None

    @property
    def first_position(self) -> int:
        """The row of the position embeddings that a text's first token gets."""
        return 0 if self.counted_padding is None else self.counted_padding + 1

    @property
    def longest_tokens(self) -> int:
        """The most tokens for which there are positions."""
        return self.positions - self.first_position


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: the file is missing, not a JSON object, or something else in its place.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from error
    check_no_stand_in(path, content[:256])
    try:
        value = json.loads(content)
    except ValueError as error:
        raise CheckpointError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return value


def check_no_stand_in(path: Path, head: bytes) -> None:
    """Recognise what failed downloads leave in a file's place.

    Args:
        path: the file.
        head: its first bytes, at least 256 if there are that many.

    Raises:
        CheckpointError: it is a Git LFS pointer or a web page.
    """
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a Git LFS pointer, not the file: run `git lfs pull` where it was cloned")
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise CheckpointError(f"{path} is a web page, not the file: download it from the address that says resolve")


def read_config(raw: Mapping[str, Any], where: str) -> ModelConfig:
    """Read config.json as transformers does, and refuse what this predictor does not compute.

    Args:
        raw: the JSON object.
        where: the file's name in error sentences.

    Raises:
        CheckpointError: with the reason and, where it helps, what is served instead.
    """
    family = _family(raw, where)
    read = Reader(raw, family, where)
    alone_served: dict[str, object] = {"is_decoder": False, "pruned_heads": {}}
    rotary, disentangled = (isinstance(family.layer_names, kind) for kind in (PreNormNames, DisentangledNames))
    if not rotary and not disentangled:  # there it has no say
        alone_served["position_embedding_type"] = "absolute"
    for key, served in alone_served.items():
        if raw.get(key, served) not in (served, None, []):
            raise CheckpointError(f"{where} has {key} {raw[key]}, only {json.dumps(served)} is served")
    labels, head = _labels(raw, where), family.head
    dim, layers, positions = (
        read.number(key) for key in ("hidden_size", "num_hidden_layers", "max_position_embeddings")
    )
    variant = Variant()
    if rotary:
        variant = read_variant(raw, read, layers=layers, where=where)
    elif disentangled:
        variant = read_distances(raw, read, positions=positions, where=where)
    config = ModelConfig(
        family=family,
        dim=dim,
        embedding_dim=read.number("embedding_size", dim) if family.projection else dim,
        layers=layers,
        heads=read.number("num_attention_heads"),
        hidden_dim=read.number("intermediate_size"),
        vocab_size=read.number("vocab_size"),
        positions=positions,
        token_types=read.number("type_vocab_size", 2, least=0 if disentangled else 1) if family.token_types else 0,
        padding_id=read.number("pad_token_id", least=0),
        groups=read.number("num_hidden_groups", 1),
        inner_layers=read.number("inner_group_num", 1),
        norm_eps=read.norm_eps(),
        activation=read.activation(family.activation_key),
        head_activation=read.activation(head.activation_key) if head.activation_key else head.activation,
        variant=variant,
        labels=labels,
        scores_are=_scores_are(raw, labels, where),
        tokenizer=raw.get("tokenizer_class"),
    )
    if config.dim % config.heads:
        raise CheckpointError(
            f"{where}: {read.key('hidden_size')} {config.dim} is no multiple of"
            f" {read.key('num_attention_heads')} {config.heads}"
        )
    if rotary and config.dim // config.heads % 2:
        raise CheckpointError(f"{where}: heads of {config.dim // config.heads} numbers cannot be rotated in pairs")
    if config.longest_tokens < 1:
        raise CheckpointError(f"{where}: max_position_embeddings {config.positions} leaves no position for a token")
    return config


def _family(raw: Mapping[str, Any], where: str) -> Family:
    served = ", ".join(family.architecture for family in FAMILIES.values())
    named = raw.get("architectures") or []
    if not isinstance(named, list):
        raise CheckpointError(f"{where}: architectures must be a list of names")
    model_type = raw.get("model_type")
    by_name = {family.architecture: family for family in FAMILIES.values()}
    # Older configurations have no type, and some tools leave the architecture out: then the weights have to show it.
    family = FAMILIES.get(str(model_type)) if model_type else next((by_name[n] for n in named if n in by_name), None)
    if family is None or (named and family.architecture not in named):
        said = ", ".join(map(str, named)) or f"model_type {model_type}"
        raise CheckpointError(f"{where} describes {said}, which is not served; served are {served}")
    return family


def _labels(raw: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Give id2label in index order; transformers' own names when the config has none."""
    named = raw.get("id2label")
    if named is None:
        count = raw.get("num_labels", 2)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise CheckpointError(f"{where}: num_labels must be a positive whole number, it is {json.dumps(count)}")
        return tuple(f"LABEL_{index}" for index in range(count))
    try:
        by_index = {int(index): label for index, label in named.items()}
    except (AttributeError, ValueError) as error:
        raise CheckpointError(f"{where}: id2label must map class indices to names") from error
    if not by_index or sorted(by_index) != list(range(len(by_index))):
        raise CheckpointError(f"{where}: id2label must name every class from 0 on")
    for index, label in by_index.items():
        if isinstance(label, bool) or not isinstance(label, (str, int)) or label == "":
            raise CheckpointError(f"{where}: id2label gives class {index} no name, it has {json.dumps(label)}")
    labels = tuple(str(by_index[index]) for index in range(len(by_index)))
    if len(set(labels)) != len(labels):
        raise CheckpointError(f"{where}: id2label names one label twice")
    return labels


def _scores_are(raw: Mapping[str, Any], labels: tuple[str, ...], where: str) -> ScoresAre:
    """Choose what transformers' text classification applies to the logits."""
    problem = raw.get("problem_type")
    if problem is not None and problem not in _PROBLEMS:
        raise CheckpointError(f"{where} has problem_type {problem}; served are {', '.join(_PROBLEMS)}")
    if problem == "regression":
        return "raw"
    if problem == "single_label_classification" and len(labels) == 1:
        raise CheckpointError(f"{where} has problem_type {problem} and one label: one of the two is wrong")
    return "sigmoid" if problem == "multi_label_classification" or len(labels) == 1 else "softmax"
