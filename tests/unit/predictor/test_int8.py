"""Which instructions multiply int8."""

from pathlib import Path

import pytest

from predictor.engine.int8 import int8_instructions


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ("fpu avx2 fma", None),
        ("fpu avx2 avx_vnni", "AVX-VNNI"),
        ("fpu avx512f avx512_vnni avx_vnni", "AVX512-VNNI"),
        ("fpu avx512_vnni amx_tile amx_int8", "AMX"),
    ],
)
def test_the_best_instructions_are_named(tmp_path: Path, flags: str, named: str | None) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: amx_int8\n")
    assert int8_instructions(cpuinfo) == named


def test_a_system_that_does_not_say_has_none(tmp_path: Path) -> None:
    assert int8_instructions(tmp_path / "none") is None
