"""What this CPU can multiply, as its kernel says."""

from pathlib import Path

# Sums of int8 products in one instruction, best first; by the kernel's name of the feature.
_INSTRUCTIONS = {"amx_int8": "AMX", "avx512_vnni": "AVX512-VNNI", "avx_vnni": "AVX-VNNI"}


def int8_instructions(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """Name the best instructions this CPU has for products of int8.

    Returns:
        ``AMX``, ``AVX512-VNNI`` or ``AVX-VNNI``; None where there is none, or where the system does not say.
    """
    flags = cpu_flags(cpuinfo)
    return next((name for flag, name in _INSTRUCTIONS.items() if flag in flags), None)


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """Give the kernel's names of this CPU's features; none if the system does not say."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return set(next((line for line in lines if line.startswith("flags")), "").split())
