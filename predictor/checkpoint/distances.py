"""Reads what config.json decides in DeBERTa-v3 alone: what the distance between two tokens adds to their score."""

import json
from collections.abc import Mapping
from typing import Any

from predictor.checkpoint.reader import Reader
from predictor.checkpoint.variant import Distances, Variant
from predictor.errors import CheckpointError

_QUERIES, _KEYS = "c2p", "p2c"
_NORM = "layer_norm"


def read_distances(raw: Mapping[str, Any], read: Reader, *, positions: int, where: str) -> Variant:
    """Read which terms there are, and how distances share the rows of their table.

    Args:
        raw: the JSON object.
        read: of the same object.
        positions: how many there are.
        where: the file's name in error sentences.

    Raises:
        CheckpointError: a value is none, or asks for what is not computed here.
    """
    _check_alone_served(raw, read, where)
    most = read.number("max_relative_positions", -1, least=-1)
    most = most if most > 0 else positions
    buckets = read.number("position_buckets", -1, least=-1)
    if buckets == 1 or (0 < buckets // 2 < positions - 1 and most - 1 <= buckets // 2):
        raise CheckpointError(f"{where}: {most} relative positions cannot be put into {buckets} buckets to each side")
    kinds = _words(raw, "pos_att_type", (_QUERIES, _KEYS), where)
    if not kinds:
        raise CheckpointError(f"{where}: pos_att_type must name {_QUERIES}, {_KEYS} or both")
    return Variant(
        positions_added=read.flag("position_biased_input", default=True),
        distances=Distances(
            rows=buckets if buckets > 0 else most,
            near=buckets // 2 if buckets > 0 else None,
            far=most,
            of_queries=_QUERIES in kinds,
            of_keys=_KEYS in kinds,
            shared=read.flag("share_att_key"),
            normed=_NORM in _words(raw, "norm_rel_ebd", ("none", _NORM), where),
        ),
    )


def _check_alone_served(raw: Mapping[str, Any], read: Reader, where: str) -> None:
    dim, heads = read.number("hidden_size"), read.number("num_attention_heads")
    alone_served = {
        "relative_attention": (raw.get("relative_attention", False), True),
        "conv_kernel_size": (raw.get("conv_kernel_size") or 0, 0),
        "pooler_hidden_size": (raw.get("pooler_hidden_size", dim), dim),
        "attention_head_size": (raw.get("attention_head_size", dim // heads), dim // heads),
    }
    for key, (value, served) in alone_served.items():
        if value != served:
            raise CheckpointError(f"{where} has {key} {json.dumps(value)}, only {json.dumps(served)} is served")


def _words(raw: Mapping[str, Any], key: str, served: tuple[str, ...], where: str) -> list[str]:
    """Give the words of a list, or of a string with bars between them."""
    said = raw.get(key) or []
    words = [word.strip() for word in said.lower().split("|")] if isinstance(said, str) else said
    if not isinstance(words, list) or not all(word in served for word in words):
        raise CheckpointError(f"{where} has {key} {json.dumps(said)}; served are {', '.join(served)}")
    return words
