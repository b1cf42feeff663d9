"""Which kernels the library runs a checkpoint with, and how the time of a forward is spread over them."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import openvino as ov

from predictor.engine.feed import Feed

_FORWARDS = 7
_PRODUCTS = ("FullyConnected", "MatMul")


@dataclass(frozen=True)
class Kernel:
    """Nodes of one kind that run one kernel: how many, and their ms in a forward together."""

    node: str
    kernel: str
    count: int
    ms: float

    @property
    def multiplies_int8(self) -> bool:
        """Whether it is a product of int8 matrices."""
        return self.node.startswith(_PRODUCTS) and self.kernel.lower().endswith("i8")


def kernels(graph: Path, feed: Feed, *, compute: str, threads: int) -> list[Kernel]:
    """Run a quantised graph with the library's own clock and give its kernels, the most costly first.

    Args:
        graph: its xml.
        feed: the inputs of a batch.
        compute: precision between the int8 layers, ``f32`` or ``bf16``.
        threads: of a forward.
    """
    options = {
        "INFERENCE_PRECISION_HINT": compute,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "PERF_COUNT": True,
    }
    core = ov.Core()
    request = core.compile_model(core.read_model(graph), "CPU", options).create_infer_request()
    kinds: dict[str, tuple[str, str]] = {}
    best_ms: dict[str, float] = {}
    for _ in range(_FORWARDS):
        request.infer(feed)
        for node in request.profiling_info:
            if node.status == ov.ProfilingInfo.Status.EXECUTED:
                kinds[node.node_name] = (node.node_type, node.exec_type)
                took_ms = node.real_time.total_seconds() * 1e3
                best_ms[node.node_name] = min(took_ms, best_ms.get(node.node_name, took_ms))
    together: dict[tuple[str, str], list[float]] = defaultdict(list)
    for name, took_ms in best_ms.items():
        together[kinds[name]].append(took_ms)
    found = [Kernel(*kind, count=len(each), ms=sum(each)) for kind, each in together.items()]
    return sorted(found, key=lambda each: -each.ms)
