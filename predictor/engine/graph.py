"""An encoder for sequence classification as an OpenVINO graph, straight from a checkpoint's weights.

Two things make it cheap without changing an answer. Tokens are packed, see ``feed``; and the last layer computes
queries and everything after them for each text's first token alone, unless the head reads the mean of all.

Texts are kept apart whatever their numbers are. ``rows`` follows how large a value can become, from the weights: with a
sound checkpoint none comes near the end of float32, so neither NaN nor infinity can arise. Where that is not certain,
keys, values and products with distances are clamped, so that a masked neighbour's NaN or infinity has no weight; and
every token's row before the last step that mixes tokens, and every text's row in the head, are summed up as outputs:
they reveal a text with such numbers even if a later step hides them, as this library's relu does, which turns NaN into
0. Such a graph is slower, at bf16 by up to 6 %: the library lowers nothing between its last multiplication and an
output, so the rows between the layers stay in float32.
"""

import numpy as np
import openvino as ov
from openvino import opset15 as op

from predictor.checkpoint.artifact import Checkpoint
from predictor.checkpoint.config import ModelConfig
from predictor.checkpoint.families import LayerNames
from predictor.checkpoint.weights import Weights
from predictor.engine.feed import INPUTS
from predictor.engine.post_norm import PostNormEncoder
from predictor.engine.pre_norm import PreNormEncoder
from predictor.engine.rows import Parts, Rows, activated, sums

LOGITS = "logits"
SUMS = ("token_sums", "first_sums")


def build_graph(checkpoint: Checkpoint) -> ov.Model:
    """Build the graph of a checkpoint with safetensors weights.

    Inputs, with T packed tokens, B texts and R rows of S columns of attention's grid, F of which at most begin a text:

    - ``input_ids`` and ``positions`` int32 [T];
    - ``grid`` int32 [R, S], the packed index of each cell; ``cells`` int32 [T], the cell of each packed token;
    - ``mask`` float32 [R, 1, S, S], 0 where a cell may look at a column, else -inf;
    - ``first`` int32 [B], the packed index of each text's first token;
    - ``first_grid`` int32 [R, F], the texts that begin in a row; ``first_cells`` int32 [B], each text's place there;
    - ``first_mask`` float32 [R, 1, F, S], the mask of those first tokens.

    Outputs: ``logits`` float32 [B, labels]; if a value may become NaN or infinity also ``token_sums`` float32 [T] and
    ``first_sums`` float32 [B], finite if all their terms are. The weights stay views of the mapped files.

    Raises:
        CheckpointError: a tensor is missing, has another shape than the config implies, or is not finite.
    """
    return _Builder(checkpoint.config, Weights(checkpoint.weight_files)).build()


class _Builder:
    """Puts the graph together: inputs, an encoder, the head, outputs."""

    def __init__(self, config: ModelConfig, weights: Weights) -> None:
        self._config = config
        # A checkpoint saved from the bare encoder lacks the prefix.
        prefix = config.family.prefix
        self._prefix = prefix if any(name.startswith(prefix) for name in weights.names) else ""
        self._parts = Parts(weights, norm_eps=config.norm_eps, norm_bias=config.variant.norm_bias)

    def build(self) -> ov.Model:
        inputs = {
            name: op.parameter([-1, 1, -1, -1], np.float32, name=name)
            if name.endswith("mask")
            else op.parameter([-1, -1] if name.endswith("grid") else [-1], np.int32, name=name)
            for name in INPUTS
        }
        for name, node in inputs.items():
            node.output(0).set_names({name})
        row, token_sums = self._encoder(inputs).encode()
        first_sums, logits = self._head(row)
        outputs = {LOGITS: logits}
        if not self._parts.always_finite:
            outputs |= zip(SUMS, (token_sums, first_sums), strict=True)
        results = []
        for name, node in outputs.items():
            result = op.result(node, name=name)
            result.output(0).set_names({name})
            results.append(result)
        return ov.Model(results, list(inputs.values()), self._config.family.model_type)

    def _encoder(self, inputs: dict[str, ov.Node]) -> PostNormEncoder | PreNormEncoder:
        names = self._config.family.layer_names
        if isinstance(names, LayerNames):
            return PostNormEncoder(self._parts, self._config, names, prefix=self._prefix, inputs=inputs)
        return PreNormEncoder(self._parts, self._config, names, prefix=self._prefix, inputs=inputs)

    def _head(self, row: Rows) -> tuple[ov.Node, ov.Node]:
        """Give the sums that show whether all is finite, and the logits."""
        config, parts, head = self._config, self._parts, self._config.family.head
        name = self._prefix + head.dense[1:] if head.dense.startswith(".") else head.dense
        dense = parts.linear(row, name, config.dim, bias=config.variant.head_bias)
        # Both: with eight-bit linear layers the output is finite whatever the input was.
        first_sums = op.add(sums(row), sums(dense))
        active = activated(dense, config.head_activation)
        if head.norm:
            active = parts.layer_norm(active, head.norm)
        return first_sums, parts.linear(active, head.out, len(config.labels)).node
