"""Encoders with a norm before each part of a layer, rotary positions and a gated feed-forward part: ModernBERT.

Every layer adds to the rows it is given, so a number in them that is not finite is still there after the last.
"""

import numpy as np
import openvino as ov
from openvino import opset15 as op

from predictor.checkpoint.config import ModelConfig
from predictor.checkpoint.families import PreNormNames
from predictor.engine.attention import Attention
from predictor.engine.positions import Rotation, distances, near
from predictor.engine.rows import Parts, Rows, activated, bounded, sums


class PreNormEncoder:
    """Builds the encoder layer by layer.

    Args:
        parts: of the graph.
        config: of the checkpoint.
        names: the encoder's tensors.
        prefix: what the encoder's tensors begin with.
        inputs: the graph's, by name.
    """

    def __init__(
        self, parts: Parts, config: ModelConfig, names: PreNormNames, *, prefix: str, inputs: dict[str, ov.Node]
    ) -> None:
        self._parts = parts
        self._config = config
        self._names = names
        self._variant = config.variant
        self._prefix = prefix
        self._inputs = inputs
        self._attend = Attention(parts, inputs, config.heads)
        self._rotations: dict[float, Rotation] = {}
        self._distances: dict[bool, ov.Node] = {}
        self._masks: dict[tuple[int, bool], ov.Node] = {}

    def encode(self) -> tuple[Rows, ov.Node]:
        """Give each text's row, and the sum of every token's row that it is made of."""
        config, mean = self._config, self._variant.mean
        hidden = self._embed()
        for layer in range(config.layers if mean else config.layers - 1):
            hidden = self._layer(hidden, layer, first=False)
        token_sums = sums(hidden)
        if not mean:
            hidden = self._layer(hidden, config.layers - 1, first=True)
        row = self._parts.layer_norm(hidden, self._prefix + self._names.final_norm)
        return self._mean(row) if mean else row, token_sums

    def _embed(self) -> Rows:
        config, parts, name = self._config, self._parts, f"{self._prefix}{self._names.words}.weight"
        words = parts.gathered(parts.constant(name, (config.vocab_size, config.dim)), self._inputs["input_ids"])
        return parts.layer_norm(
            parts.keep(words, config.dim, parts.largest(name)), self._prefix + self._names.embedded_norm
        )

    def _layer(self, hidden: Rows, layer: int, *, first: bool) -> Rows:
        """Add one transformer layer, for all tokens or for each text's first alone."""
        parts, names = self._parts, self._names
        name = self._prefix + self._config.family.layer.format(layer=layer)
        # The first layer's rows come from a norm already.
        normal = parts.layer_norm(hidden, f"{name}.{names.attention_norm}") if layer else hidden
        kept = self._firsts(hidden) if first else hidden
        kept = parts.added(self._attended(normal, name, layer, first=first), kept)
        return parts.added(self._fed_forward(parts.layer_norm(kept, f"{name}.{names.wide_norm}"), name), kept)

    def _attended(self, rows: Rows, name: str, layer: int, *, first: bool) -> Rows:
        parts, names, dim, bias = self._parts, self._names, self._config.dim, self._variant.attention_bias
        theta, window = self._variant.layers[layer]
        asking = self._firsts(rows) if first else rows
        query, key, value = (
            parts.linear(each, f"{name}.{names.projections}", dim, bias=bias, part=part, parts=3)
            for part, each in enumerate((asking, rows, rows))
        )
        rotated = self._rotation(theta)
        # At position 0 nothing turns.
        query = query if first else rotated(query)
        mask = self._mask(window, first=first)
        mixed = self._attend(query, bounded(rotated(key)), bounded(value), mask=mask, first=first)
        return parts.linear(mixed, f"{name}.{names.attended}", dim, bias=bias)

    def _fed_forward(self, rows: Rows, name: str) -> Rows:
        config, parts, names, bias = self._config, self._parts, self._names, self._variant.mlp_bias
        active, gate = (
            parts.linear(rows, f"{name}.{names.wide}", config.hidden_dim, bias=bias, part=part, parts=2)
            for part in range(2)
        )
        wide = parts.multiplied(activated(active, config.activation), gate)
        return parts.linear(wide, f"{name}.{names.narrow}", config.dim, bias=bias)

    def _mean(self, rows: Rows) -> Rows:
        """Give the mean of each text's rows: a query of zeros weighs all that it may look at alike."""
        value, first = bounded(rows), self._firsts(rows)
        query = first._replace(node=op.multiply(first.node, op.constant(np.float32(0))))
        return self._attend(query, value, value, mask=self._mask(None, first=True), first=True)

    def _firsts(self, rows: Rows) -> Rows:
        return rows._replace(node=self._parts.gathered(rows.node, self._inputs["first"]))

    def _rotation(self, theta: float) -> Rotation:
        if theta not in self._rotations:
            config = self._config
            self._rotations[theta] = Rotation(
                self._parts,
                self._inputs["positions"],
                positions=config.positions,
                heads=config.heads,
                width=config.dim // config.heads,
                theta=theta,
            )
        return self._rotations[theta]

    def _mask(self, window: int | None, *, first: bool) -> ov.Node:
        # At bf16 the library fails on a graph where one layer's mask is an input and another's is computed: all are.
        window = self._config.positions if window is None else window
        if (window, first) not in self._masks:
            if first not in self._distances:
                places = self._parts.gathered(self._inputs["positions"], self._inputs["grid"])
                self._distances[first] = distances(places, first=first)
            mask = self._inputs["first_mask" if first else "mask"]
            self._masks[window, first] = near(mask, self._distances[first], window)
        return self._masks[window, first]
