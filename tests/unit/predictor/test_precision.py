"""Which precision an engine takes on a CPU of another make than the one at hand."""

from pathlib import Path

import pytest
import torch

from predictor.engine import openvino_engine, torch_engine
from predictor.errors import EngineUnavailableError

ARM = ["FP32", "FP16", "INT8", "BIN"]  # what OpenVINO says of an Arm CPU
X86_WITH_BF16 = ["FP32", "BF16", "INT8", "BIN", "EXPORT_IMPORT"]


class Core:
    """OpenVINO's core, as far as it is asked for what a CPU can do."""

    def __init__(self, capabilities: list[str]) -> None:
        self._capabilities = capabilities

    def get_property(self, device: str, name: str) -> list[str]:
        assert (device, name) == ("CPU", "OPTIMIZATION_CAPABILITIES")
        return self._capabilities


@pytest.mark.parametrize(
    ("capabilities", "asked", "taken"),
    [(ARM, "auto", "f32"), (ARM, "f32", "f32"), (X86_WITH_BF16, "auto", "bf16"), (X86_WITH_BF16, "f32", "f32")],
)
def test_openvino_takes_bf16_only_where_the_cpu_multiplies_it(capabilities: list[str], asked: str, taken: str) -> None:
    assert openvino_engine._choose_precision(Core(capabilities), asked) == taken  # type: ignore[arg-type]


def test_bf16_by_name_is_refused_on_an_arm_cpu() -> None:
    with pytest.raises(EngineUnavailableError, match="bf16 needs a CPU"):
        openvino_engine._choose_precision(Core(ARM), "bf16")  # type: ignore[arg-type]


def test_torch_reads_no_flags_on_an_arm_cpu_and_takes_f32(monkeypatch: pytest.MonkeyPatch) -> None:
    # An Arm kernel writes "Features" where an x86 one writes "flags".
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "processor\t: 0\nFeatures\t: fp asimd bf16 i8mm\n")
    assert torch_engine.cpu_flags() == set()
    assert torch_engine._choose_precision(torch.device("cpu"), "auto") == "f32"
