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
class DisentangledNames(LayerNames):
    """The tensors of a layer whose scores the distances between tokens add to.

    Attributes:
        distances: a row for each distance, relative to the encoder as is ``distances_norm``.
        distances_norm: the norm of those rows.
        distance_query: a layer's projection of them to queries, relative to the layer as is ``distance_key``; what
            layers have that do not project them as they project tokens.
        distance_key: the same to keys.
    """

    distances: str
    distances_norm: str
    distance_query: str
    distance_key: str


@dataclass(frozen=True, kw_only=True)
class PreNormNames:
    """The tensors of an encoder with rotary positions, and norms before each part of a layer instead of after it.

    Attributes:
        words: the embeddings, relative to the encoder as is ``embedded_norm``.
        embedded_norm: the norm of the embeddings; the first layer has none before its attention.
        attention_norm: before attention, relative to the layer as are all that follow but the last.
        projections: queries, keys and values in one matrix, in this order.
        attended: the linear layer after attention.
        wide_norm: before the feed-forward part.
        wide: what is activated and what that is multiplied by, in one matrix, in this order.
        narrow: the linear layer from that product.
        final_norm: after the last layer, relative to the encoder.
    """

    words: str
    embedded_norm: str
    attention_norm: str
    projections: str
    attended: str
    wide_norm: str
    wide: str
    narrow: str
    final_norm: str


@dataclass(frozen=True, kw_only=True)
class HeadNames:
    """What turns a text's row into logits: a linear layer, its activation, and another linear layer.

    Attributes:
        dense: the first one's name; one that begins with a dot lies under the encoder's prefix.
        activation: between the two.
        activation_key: the config's name of the activation, if it has a say.
        norm: the norm before the second one, if there is one.
        out: the second one's name.
    """

    dense: str
    activation: Activation
    activation_key: str | None = None
    norm: str | None = None
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
        norm_eps: of every layer norm, if the config has no say.
        norm_eps_key: the config's name of it, if it has.
        activation_key: the config's name of the feed-forward activation.
        token_types: whether a row for the token's type, always the first, is added to the embeddings, if there is one.
        projection: the linear layer from narrower embeddings to the layers' width, if they differ.
        always_projected: whether it is there even if they do not.
        projected_first: whether it comes before the embeddings' norm instead of after it, and has no bias.
        layer: the name of a layer; ``{layer}`` is its number, ``{group}`` and ``{inner}`` are those of shared layers.
        layer_names: the tensors in it; their kind decides how a layer is computed.
        head: what follows the last layer.
        counts_from_padding: positions begin after the padding token's id, and padding tokens do not count.
        tokenizer: the class that transformers uses if the checkpoint names none.
        always_tokenizer: whether it uses that class whatever the checkpoint names.
    """

    model_type: str
    architecture: str
    prefix: str
    keys: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, object] = field(default_factory=dict)
    norm_eps: float | None = None
    norm_eps_key: str = "layer_norm_eps"
    activation_key: str = "hidden_act"
    token_types: bool = True
    projection: str | None = None
    always_projected: bool = False
    projected_first: bool = False
    layer: str = "encoder.layer.{layer}"
    layer_names: LayerNames | PreNormNames
    head: HeadNames
    counts_from_padding: bool = False
    tokenizer: str = "BertTokenizer"
    always_tokenizer: bool = False
