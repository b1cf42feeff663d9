"""Which layers become int8. Recipes go from fastest to most careful; the first that passes the gate is taken.

Weights have a scale for each output channel and activations one for the tensor, fixed by calibration: a text's answer
then depends on nothing but the text. SmoothQuant moves the outliers of activations into the weights before that. Two
parts stay as they are in every recipe: attention's own products, for quantising them takes them out of the fused
operation and costs more than it saves, and the head, which is a row for each text and decides the label.

Weights keep to seven bits. CPUs without VNNI add pairs of products up in 16 bits, which eight bits overflow: there half
of the error came of that, and an answer depended on the kind of CPU.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import nncf
import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

# In every family the weights of the encoder's layers have this in their names, and those of the head have not.
_IN_A_LAYER = "layer"
_ACTIVATIONS = frozenset({"Gelu", "Relu", "Swish", "Tanh"})


@dataclass(frozen=True)
class Linear:
    """A linear layer of the graph: the product's name, its weight's name, and the sizes it goes from and to."""

    product: str
    weight: str
    inputs: int
    outputs: int

    @property
    def in_head(self) -> bool:
        """Whether it comes after the encoder."""
        return _IN_A_LAYER not in self.weight


@dataclass(frozen=True)
class Recipe:
    """What becomes int8; ``keeps`` says of a linear layer, with the feed-forward parts' width, whether it stays."""

    name: str
    says: str
    keeps: Callable[[Linear, int], bool]


RECIPES = (
    Recipe("all", "every linear layer of the encoder", lambda _layer, _hidden: False),
    Recipe(
        "narrowing-kept",
        "every linear layer of the encoder but the second of each feed-forward part",
        lambda layer, hidden: layer.inputs == hidden,
    ),
    Recipe(
        "attention-only",
        "the linear layers of attention",
        lambda layer, hidden: hidden in (layer.inputs, layer.outputs),
    ),
)


def _products(graph: ov.Model) -> Iterator[tuple[ov.Node, ov.Node]]:
    """Give the graph's matrix products, each with what it multiplies by."""
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "MatMul":
            yield node, node.input_value(1).get_node()


def linear_layers(graph: ov.Model) -> Iterator[Linear]:
    """Give the graph's products of rows and a weight matrix."""
    for node, weight in _products(graph):
        if _is_constant(weight.output(0)):
            outputs, inputs = weight.get_output_shape(0)
            yield Linear(node.get_friendly_name(), weight.get_friendly_name(), inputs, outputs)


def quantise(graph: ov.Model, recipe: Recipe, *, hidden_dim: int, feeds: Sequence[dict[str, NDArray[Any]]]) -> ov.Model:
    """Quantise the predictor's graph of a checkpoint by a recipe, its ranges taken from the feeds."""
    kept = [layer.product for layer in linear_layers(graph) if layer.in_head or recipe.keeps(layer, hidden_dim)]
    # Those with DeBERTa's tables of distances are attention's own.
    kept += [node.get_friendly_name() for node, other in _products(graph) if not _is_constant(other.output(0))]
    quantised = nncf.quantize(
        graph,
        nncf.Dataset(feeds),
        subset_size=len(feeds),
        model_type=nncf.ModelType.TRANSFORMER,
        advanced_parameters=nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.ENABLE),
        ignored_scope=nncf.IgnoredScope(names=kept, types=["ScaledDotProductAttention"]),
    )
    flatten_quantisers(quantised)
    return quantised


def flatten_quantisers(graph: ov.Model) -> None:
    """Have rows of activations quantised as one long row, where they are quantised by themselves.

    The library's kernel takes tokens one by one on [tokens, width]: six times as long for the same numbers. Behind an
    activation function the linear layer before it quantises, and is left alone.
    """
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "FakeQuantize" or _is_constant(node.input_value(0)):
            continue
        rows = node.input_value(0)
        before = rows.get_node()
        if before.get_type_name() == "Multiply" and _is_constant(before.input_value(1)):  # SmoothQuant's
            before = before.input_value(0).get_node()
        if before.get_type_name() in _ACTIVATIONS or len(rows.get_partial_shape()) != 2:
            continue
        targets = list(node.output(0).get_target_inputs())
        flat = op.reshape(rows, op.constant(np.array([1, 1, -1], np.int64)), special_zero=False)
        ranges = [node.input_value(place) for place in range(1, 5)]
        quantised = op.fake_quantize(flat, *ranges, levels=node.get_attributes()["levels"])
        width = rows.get_partial_shape()[1].get_length()
        back = op.reshape(quantised, op.constant(np.array([-1, width], np.int64)), special_zero=False)
        for target in targets:
            target.replace_source_output(back.output(0))


def _is_constant(value: ov.Output) -> bool:
    return bool(value.get_node().get_type_name() == "Constant")
