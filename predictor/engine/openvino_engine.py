"""The default engine: OpenVINO on the CPU, with every choice made explicitly."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from predictor.checkpoint.artifact import Checkpoint
from predictor.checkpoint.weights import largest
from predictor.engine import packing
from predictor.engine.base import Logits
from predictor.engine.feed import CELL_MOVE, INPUTS, packed_feed, slot
from predictor.engine.graph import LOGITS, SUMS, build_graph
from predictor.errors import CheckpointError, EngineUnavailableError
from predictor.settings import PrecisionName

_DEVICE = "CPU"
# A forward's fixed cost, as tokens through the linear layers, and the linear layers' work per token as a multiple of
# dim against attention's per cell and column: see divide().
_FORWARD_TOKENS = 20
_LINEAR_PER_DIM = 6
# A sound quantised graph's go up to 1e5 (SmoothQuant's scale of an idle neuron); a damaged file's are anything.
_LARGEST_CONSTANT = 1e9


class OpenVinoEngine:
    """A compiled graph with explicit precision and thread count, one stream, no pinning.

    Args:
        checkpoint: safetensors weights, or a quantised graph with this package's inputs.
        precision: ``auto`` takes bf16 where the CPU multiplies it natively, else f32.
        threads: CPU threads of a forward.
        cache_dir: keeps compiled graphs between starts; None: nothing does.

    Raises:
        CheckpointError: the weights or the quantised graph cannot be used.
        EngineUnavailableError: this CPU has no bf16 and bf16 was asked for.
    """

    name = "openvino"

    def __init__(
        self, *, checkpoint: Checkpoint, precision: PrecisionName, threads: int, cache_dir: Path | None = None
    ) -> None:
        core = ov.Core()
        self._compute = _choose_precision(core, precision)
        self.precision = "int8" if checkpoint.quantised else self._compute
        self.threads = threads
        config = checkpoint.config
        self._padding_id = config.counted_padding
        self._forward_cost = _FORWARD_TOKENS * _LINEAR_PER_DIM * config.dim
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": self._compute,
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,
        }
        if cache_dir is not None and _writable(cache_dir):
            options["CACHE_DIR"] = str(cache_dir)
        graph = _read_quantised(core, checkpoint) if checkpoint.quantised else build_graph(checkpoint)
        compiled = core.compile_model(graph, _DEVICE, options)
        # By place, not by name: looking nine names up costs a short text's forward 3 %.
        self._inputs = _places(INPUTS, compiled.inputs)
        self._logits = _places([LOGITS], compiled.outputs)[LOGITS]
        self._sums = _places(SUMS, compiled.outputs)
        self._request = compiled.create_infer_request()

    @property
    def arithmetic(self) -> str:
        """Precision of weights and of everything else, such as ``openvino-int8-bf16``."""
        parts = dict.fromkeys((self.name, self.precision, self._compute))
        return "-".join(parts)

    def divide(self, lengths: Sequence[int]) -> list[list[int]]:
        """Group by length if long texts would widen the rows of short ones by more than another forward costs."""
        return packing.divide(
            [slot(length) for length in lengths],
            cost=lambda longest, cells, _texts: packing.attention_cost(longest, cells, CELL_MOVE),
            forward=self._forward_cost,
        )

    def forward(self, ids: Sequence[NDArray[np.int32]]) -> Logits:
        """Give logits float32 [texts, labels]; NaN for a text with any intermediate value that is not finite."""
        # The tensors borrow the arrays' memory: `feed` has to live until the call returns.
        feed = packed_feed(ids, padding_id=self._padding_id)
        for name, array in feed.items():
            self._request.set_input_tensor(self._inputs[name], ov.Tensor(array, shared_memory=True))
        self._request.infer()
        # The library reuses its output memory at the next call.
        logits = np.array(self._request.get_output_tensor(self._logits).data[: len(ids)], dtype=np.float32)
        if self._sums:
            _mark_unsound(logits, ids, *(self._request.get_output_tensor(place).data for place in self._sums.values()))
        return logits


def _mark_unsound(
    logits: Logits, ids: Sequence[NDArray[np.int32]], token_sums: NDArray[Any], first_sums: NDArray[Any]
) -> None:
    tokens = np.isfinite(token_sums)
    logits[~np.isfinite(first_sums[: len(ids)])] = np.nan
    if not tokens.all():
        starts = np.cumsum([0, *map(len, ids)])
        sound = np.logical_and.reduceat(tokens[: starts[-1]], starts[:-1])
        logits[~sound] = np.nan


def _places(names: Sequence[str], ports: Sequence[Any]) -> dict[str, int]:
    """Give the place of each name among the ports; of those alone that are there."""
    return {name: place for name in names for place, port in enumerate(ports) if name in port.names}


def _choose_precision(core: ov.Core, asked: PrecisionName) -> str:
    native = "BF16" in core.get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")
    if asked == "bf16" and not native:
        raise EngineUnavailableError("PREDICTOR_PRECISION=bf16 needs a CPU with AVX512-BF16 or AMX")
    return "bf16" if native and asked != "f32" else "f32"


def _read_quantised(core: ov.Core, checkpoint: Checkpoint) -> ov.Model:
    xml = checkpoint.graph_file
    try:
        graph = core.read_model(xml)
    except RuntimeError as error:
        raise CheckpointError(f"{xml} or its .bin cannot be read as an OpenVINO graph: {_first_line(error)}") from error
    names = {name for parameter in graph.inputs for name in parameter.names}
    results = {name for result in graph.outputs for name in result.names}
    if names != set(INPUTS) or LOGITS not in results:
        raise CheckpointError(f"{xml} has inputs {sorted(names)}: not a graph of this predictor, quantise it again")
    # A graph without the sums was built of weights that cannot overflow: it must still hold no others.
    most = math.inf if results >= set(SUMS) else _LARGEST_CONSTANT
    for node in graph.get_ops():
        is_real = node.get_type_name() == "Constant" and node.get_element_type().is_real()
        if is_real and not ((magnitude := largest(node.get_data(dtype=np.float32))) < most):
            what = "numbers too large for a model" if math.isfinite(magnitude) else "NaN or infinity"
            raise CheckpointError(f"{xml}: {node.get_friendly_name()} holds {what}: quantise it again")
    return graph


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _writable(directory: Path) -> bool:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(directory, os.W_OK)
