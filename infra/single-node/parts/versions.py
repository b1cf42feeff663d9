"""The versions of everything on the node: versions.env."""

from pathlib import Path

VERSIONS = Path(__file__).resolve().parents[1] / "versions.env"


def read_settings(path: Path) -> dict[str, str]:
    """Read a file of ``KEY=VALUE`` lines."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def read_versions() -> dict[str, str]:
    """Read versions.env."""
    return read_settings(VERSIONS)
