"""What config.json decides in some families alone, and how ModernBERT's says it.

What it says of biases, of pooling, and of what each layer looks at is read here; for DeBERTa-v3 see ``distances``.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from predictor.checkpoint.reader import Reader
from predictor.errors import CheckpointError

_NEAR, _FAR = "sliding_attention", "full_attention"
# Each kind's rotary base, under its older name and by default.
_OLD_THETAS = {_FAR: ("global_rope_theta", 160_000.0), _NEAR: ("local_rope_theta", 10_000.0)}
_POOLINGS = ("cls", "mean")


class LayerKind(NamedTuple):
    """A layer's rotary base, and how many tokens to either side it looks at (None: at all)."""

    theta: float
    window: int | None


@dataclass(frozen=True, kw_only=True)
class Distances:
    """What the distance between two tokens, in positions, adds to their score.

    Attributes:
        rows: half the rows of the table of distances; those beyond its ends have the last row.
        near: up to which distance each has a row of its own (None: all); further ones share rows, the more the further.
        far: from where on all share one, if there is a ``near``.
        of_queries: whether a query's product with the distance is added.
        of_keys: whether a key's is.
        shared: whether a layer projects the table as it projects tokens.
        normed: whether the table's rows pass a norm.
    """

    rows: int
    near: int | None
    far: int
    of_queries: bool
    of_keys: bool
    shared: bool
    normed: bool


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What the config decides in some families; the defaults are what the others have.

    Attributes:
        layers: the kind of each, in families with rotary positions.
        attention_bias: whether attention's linear layers have biases; so are the others.
        mlp_bias: of the feed-forward parts.
        norm_bias: of the layer norms.
        head_bias: of the head's first linear layer.
        mean: whether the head reads the mean of a text's rows instead of the first.
        positions_added: whether the embeddings have positions added, in families without rotary ones.
        distances: what they add to scores, in families where they do.
    """

    layers: tuple[LayerKind, ...] = ()
    attention_bias: bool = True
    mlp_bias: bool = True
    norm_bias: bool = True
    head_bias: bool = True
    mean: bool = False
    positions_added: bool = True
    distances: Distances | None = None


def read_variant(raw: Mapping[str, Any], read: Reader, *, layers: int, where: str) -> Variant:
    """Read both the older keys and those that transformers writes now.

    Args:
        raw: the JSON object.
        read: of the same object.
        layers: how many there are.
        where: the file's name in error sentences.

    Raises:
        CheckpointError: a value is none, or asks for what is not computed here.
    """
    pooling = raw.get("classifier_pooling", "cls")
    if pooling not in _POOLINGS:
        raise CheckpointError(f"{where} asks for classifier_pooling {pooling}; served are {', '.join(_POOLINGS)}")
    # Transformers lets the second name, which it never writes, have the last word.
    window = read.number("sliding_window", read.number("local_attention", 128) // 2, least=0)
    kinds = {
        _FAR: LayerKind(theta=_theta(raw, _FAR, where), window=None),
        _NEAR: LayerKind(theta=_theta(raw, _NEAR, where), window=window),
    }
    return Variant(
        layers=tuple(kinds[each] for each in _layer_types(raw, read, layers, where)),
        attention_bias=read.flag("attention_bias"),
        mlp_bias=read.flag("mlp_bias"),
        norm_bias=read.flag("norm_bias"),
        head_bias=read.flag("classifier_bias"),
        mean=pooling == "mean",
    )


def _layer_types(raw: Mapping[str, Any], read: Reader, layers: int, where: str) -> list[str]:
    stated = raw.get("layer_types")
    if stated is None:
        every = read.number("global_attn_every_n_layers", 3)
        return [_NEAR if layer % every else _FAR for layer in range(layers)]
    if not isinstance(stated, list) or len(stated) != layers:
        raise CheckpointError(f"{where}: layer_types must name the kind of each of the {layers} layers")
    for each in stated:
        if each not in (_NEAR, _FAR):
            raise CheckpointError(f"{where} has a layer of type {each}; served are {_FAR}, {_NEAR}")
    return stated


def _theta(raw: Mapping[str, Any], kind: str, where: str) -> float:
    said = raw.get("rope_parameters") or {}
    if not isinstance(said, dict) or not said.keys() <= _OLD_THETAS.keys():
        raise CheckpointError(f"{where}: rope_parameters must be given for each of {', '.join(_OLD_THETAS)}")
    # The older form speaks of both kinds at once.
    parts = (said.get(kind) or {}, raw.get("rope_scaling") or {})
    if not all(isinstance(part, dict) for part in parts):
        raise CheckpointError(f"{where}: rope_parameters and rope_scaling must hold objects")
    of_kind = {**parts[0], **parts[1]}
    rope_type = of_kind.get("rope_type", of_kind.get("type", "default"))
    if rope_type != "default":
        raise CheckpointError(f"{where} asks for rotary positions of type {rope_type}, only default is served")
    old, default = _OLD_THETAS[kind]
    theta = of_kind.get("rope_theta", raw.get(old, default))
    if not isinstance(theta, (int, float)) or isinstance(theta, bool) or not 0 < theta < math.inf:
        raise CheckpointError(f"{where}: the rotary base of {kind} ({old}) must be a positive number")
    return float(theta)
