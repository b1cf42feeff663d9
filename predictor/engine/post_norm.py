"""Encoders with a norm after each part of a layer: BERT and those built like it.

Positions are in the embeddings; in DeBERTa-v3, distances between them add to attention's scores instead.
"""

from collections.abc import Iterator
from functools import partial

import openvino as ov
from openvino import opset15 as op

from predictor.checkpoint.config import ModelConfig
from predictor.checkpoint.families import DisentangledNames, LayerNames
from predictor.engine.attention import Attention
from predictor.engine.disentangled import Disentangled
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
        self._distances: Disentangled | None = None
        if isinstance(names, DisentangledNames) and config.variant.distances:
            self._distances = Disentangled(parts, config, names, config.variant.distances, prefix=prefix, inputs=inputs)
        scale = self._distances.scale if self._distances else None
        self._attend = Attention(parts, inputs, config.heads, scale=scale)

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
        summed = parts.gathered(words, self._inputs["input_ids"])
        bound = parts.largest(name + "word_embeddings.weight")
        for node, most in self._added(name):
            summed, bound = op.add(summed, node), bound + most
        rows, norm = parts.keep(summed, config.embedding_dim, bound), name + "LayerNorm"
        if not self._family.projection or not (self._family.always_projected or config.embedding_dim != config.dim):
            return parts.layer_norm(rows, norm)
        projection = self._prefix + self._family.projection
        if self._family.projected_first:
            return parts.layer_norm(parts.linear(rows, projection, config.dim, bias=False), norm)
        return parts.linear(parts.layer_norm(rows, norm), projection, config.dim)

    def _added(self, name: str) -> Iterator[tuple[ov.Node, float]]:
        """Give what is added to the words, the positions with the row of the only token type, and a bound of it."""
        config, parts, at = self._config, self._parts, self._inputs["positions"]
        places, types = name + "position_embeddings.weight", name + "token_type_embeddings.weight"
        size = (config.positions, config.embedding_dim)
        first = parts.tensor(types, (config.token_types, config.embedding_dim))[:1] if config.token_types else None
        if not config.variant.positions_added:
            if first is not None:
                yield op.constant(first, name=types), parts.largest(types)
        elif first is None:
            yield parts.gathered(parts.constant(places, size), at), parts.largest(places)
        else:
            both = op.constant(parts.tensor(places, size) + first, name=places)
            yield parts.gathered(both, at), parts.largest(places) + parts.largest(types)

    def _layer(self, hidden: Rows, name: str, *, last: bool) -> Rows:
        """Add one transformer layer; the last one only for the first token of each text."""
        config, parts, names = self._config, self._parts, self._names
        # The rows that go on after attention.
        kept = hidden._replace(node=parts.gathered(hidden.node, self._inputs["first"])) if last else hidden
        query = parts.linear(kept, f"{name}.{names.query}", config.dim)
        key = bounded(parts.linear(hidden, f"{name}.{names.key}", config.dim))
        value = bounded(parts.linear(hidden, f"{name}.{names.value}", config.dim))
        mask = self._inputs["first_mask" if last else "mask"]
        terms = partial(self._distances.terms, name, first=last) if self._distances else None
        mixed = self._attend(query, key, value, mask=mask, first=last, terms=terms)
        mixed = parts.linear(mixed, f"{name}.{names.attended}", config.dim)
        kept = parts.layer_norm(parts.added(mixed, kept), f"{name}.{names.attended_norm}")
        wide = activated(parts.linear(kept, f"{name}.{names.wide}", config.hidden_dim), config.activation)
        narrow = parts.linear(wide, f"{name}.{names.narrow}", config.dim)
        return parts.layer_norm(parts.added(narrow, kept), f"{name}.{names.norm}")
