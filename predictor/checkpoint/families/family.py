"""Describes a family of encoders: where its config and its weights keep what the graph needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Activation = Literal["gelu", "gelu_tanh", "relu", "silu", "tanh"]


@dataclass(frozen=True, kw_only=True)
class LayerNames:
    """The tensors of one transformer layer, relative to the layer's own name."""

    query: str
    key: str
    value: str
    attended: str
    attended_norm: str
    wide: str
    narrow: str
    norm: str


@dataclass(frozen=True, kw_only=True)
class HeadNames:
    """What turns the first token's row into logits: a linear layer, its activation, and another linear layer.

    Attributes:
        dense: the first one's name; one that begins with a dot lies under the encoder's prefix.
        activation: between the two.
        out: the second one's name.
    """

    dense: str
    activation: Activation
    out: str


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family, complete.

    Attributes:
        model_type: its name in config.json.
        architecture: its sequence classifier's name in config.json.
        prefix: what the encoder's tensors begin with; a checkpoint saved from the bare encoder lacks it.
        keys: the config's name of each number if it is not the usual one; the usual one is read too.
        defaults: transformers' values for what config.json leaves out.
        norm_eps: of every layer norm, if the config does not say.
        activation_key: the config's name of the feed-forward activation.
        token_types: whether a row for the token's type, always the first, is added to the embeddings.
        projection: the linear layer from narrower embeddings to the layers' width, if they differ.
        always_projected: whether it is there even if they do not.
        layer: the name of a layer; ``{layer}`` is its number, ``{group}`` and ``{inner}`` are those of shared layers.
        layer_names: the tensors in it.
        head: what follows the last layer.
        counts_from_padding: positions begin after the padding token's id, and padding tokens do not count.
        tokenizer: the class that transformers uses if the checkpoint names none.
    """

    model_type: str
    architecture: str
    prefix: str
    keys: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    norm_eps: float | None = None
    activation_key: str = "hidden_act"
    token_types: bool = True
    projection: str | None = None
    always_projected: bool = False
    layer: str = "encoder.layer.{layer}"
    layer_names: LayerNames
    head: HeadNames
    counts_from_padding: bool = False
    tokenizer: str = "BertTokenizer"
