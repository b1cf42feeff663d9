"""Encoders with a norm after each part of a layer and positions in the embeddings: BERT and those built like it."""

import openvino as ov
from openvino import opset15 as op

from predictor.checkpoint.config import ModelConfig
from predictor.checkpoint.families import LayerNames
from predictor.engine.attention import Attention
from predictor.engine.rows import Parts, Rows, activated, bounded, sums


class PostNormEncoder:
    """Builds the encoder layer by layer.

    Args:
        parts: of the graph.
        config: of the checkpoint.
        names: a layer's tensors.
        prefix: what the encoder's tensors begin with.
        inputs: the graph's, by name.
    """

    def __init__(
        self, parts: Parts, config: ModelConfig, names: LayerNames, *, prefix: str, inputs: dict[str, ov.Node]
    ) -> None:
        self._parts = parts
        self._config = config
        self._family = config.family
        self._names = names
        self._prefix = prefix
        self._inputs = inputs
        self._attend = Attention(parts, inputs, config.heads)

    def encode(self) -> tuple[Rows, ov.Node]:
        """Give each text's row, and the sum of every token's row before the last layer."""
        hidden = self._embed()
        names = self._layer_names()
        for name in names[:-1]:
            hidden = self._layer(hidden, name, last=False)
        token_sums = sums(hidden)
        return self._layer(hidden, names[-1], last=True), token_sums

    def _layer_names(self) -> list[str]:
        """Give the name of every layer in running order; shared ones repeat."""
        config = self._config
        return [
            self._prefix
            + self._family.layer.format(layer=layer, group=layer * config.groups // config.layers, inner=inner)
            for layer in range(config.layers)
            for inner in range(config.inner_layers)
        ]

    def _embed(self) -> Rows:
        config, parts, name = self._config, self._parts, self._prefix + "embeddings."
        words = parts.constant(name + "word_embeddings.weight", (config.vocab_size, config.embedding_dim))
        places, bound = self._places(name)
        summed = op.add(
            parts.gathered(words, self._inputs["input_ids"]), parts.gathered(places, self._inputs["positions"])
        )
        bound += parts.largest(name + "word_embeddings.weight")
        normal = parts.layer_norm(parts.keep(summed, config.embedding_dim, bound), name + "LayerNorm")
        if self._family.projection and (self._family.always_projected or config.embedding_dim != config.dim):
            return parts.linear(normal, self._prefix + self._family.projection, config.dim)
        return normal

    def _places(self, name: str) -> tuple[ov.Node, float]:
        """Give the position embeddings, with the row of the only token type added, and a bound of their magnitude."""
        config, parts = self._config, self._parts
        places, types = name + "position_embeddings.weight", name + "token_type_embeddings.weight"
        size = (config.positions, config.embedding_dim)
        if not self._family.token_types:
            return parts.constant(places, size), parts.largest(places)
        first = parts.tensor(types, (config.token_types, config.embedding_dim))[0]
        node = op.constant(parts.tensor(places, size) + first, name=places)
        return node, parts.largest(places) + parts.largest(types)

    def _layer(self, hidden: Rows, name: str, *, last: bool) -> Rows:
        """Add one transformer layer; the last one only for the first token of each text."""
        config, parts, names = self._config, self._parts, self._names
        # The rows that go on after attention.
        kept = hidden._replace(node=parts.gathered(hidden.node, self._inputs["first"])) if last else hidden
        query = parts.linear(kept, f"{name}.{names.query}", config.dim)
        key = bounded(parts.linear(hidden, f"{name}.{names.key}", config.dim))
        value = bounded(parts.linear(hidden, f"{name}.{names.value}", config.dim))
        mask = self._inputs["first_mask" if last else "mask"]
        mixed = self._attend(query, key, value, mask=mask, first=last)
        mixed = parts.linear(mixed, f"{name}.{names.attended}", config.dim)
        kept = parts.layer_norm(parts.added(mixed, kept), f"{name}.{names.attended_norm}")
        wide = activated(parts.linear(kept, f"{name}.{names.wide}", config.hidden_dim), config.activation)
        narrow = parts.linear(wide, f"{name}.{names.narrow}", config.dim)
        return parts.layer_norm(parts.added(narrow, kept), f"{name}.{names.norm}")
