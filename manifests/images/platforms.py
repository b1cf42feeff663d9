"""Resolve what the images install for amd64 and for arm64, out of wheels: `python -m manifests.images.platforms UV`.

Nothing is installed: uv reads the index alone, with each platform's own markers and tags. What comes out has to be the
pinned versions, the same on both; what has no wheel has to be one that the images compile.
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from manifests.images.requirements import requirements

ROOT = Path(__file__).resolve().parents[2]
# As the Dockerfiles ask: image to extras.
EXTRAS: Mapping[str, Sequence[str]] = {
    "transformer": ("transformer", "entra", "otel"),
    "predictor": ("predictor", "otel"),
}
# The base's C library and a late Python of its line.
PLATFORMS = {"amd64": "x86_64-manylinux_2_36", "arm64": "aarch64-manylinux_2_36"}
PYTHON = "3.11.12"
# The build stages have a compiler for these.
COMPILED = ("psutil",)


class ResolutionError(Exception):
    """There is no set of wheels for a platform, or it is not the pinned one."""


def resolve(uv: str, extras: Sequence[str], platform: str, *, compiled: Sequence[str] = COMPILED) -> list[str]:
    """Give `name==version` of everything that would be installed; raises ResolutionError with uv's words."""
    command = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--only-binary=:all:"]
    command += [f"--no-binary={name}" for name in compiled]
    command += [
        f"--constraint={ROOT / 'constraints.txt'}",
        f"--python-version={PYTHON}",
        f"--python-platform={platform}",
    ]
    wanted = "\n".join(requirements(ROOT / "pyproject.toml", list(extras)))
    done = subprocess.run([*command, "-"], input=wanted, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ResolutionError(done.stderr.strip())
    return done.stdout.split()


def judge(found: Mapping[str, Sequence[str]], pinned: Sequence[str]) -> None:
    """Compare platforms with each other and with what is pinned; raises ResolutionError.

    Args:
        found: platform to what it gets.
        pinned: lines of constraints.txt.
    """
    for platform, lines in found.items():
        if strangers := sorted(set(lines) - set(pinned)):
            raise ResolutionError(f"{platform} gets what constraints.txt does not pin: {', '.join(strangers)}")
    (first, some), (second, others) = found.items()
    if differing := sorted(set(some) ^ set(others)):
        raise ResolutionError(f"{first} and {second} differ in {', '.join(differing)}")


def main() -> int:
    """Resolve and compare; 1 where something does not fit."""
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    try:
        for image, extras in EXTRAS.items():
            found = {name: resolve(sys.argv[1], extras, platform) for name, platform in PLATFORMS.items()}
            judge(found, pinned)
            count = len(next(iter(found.values())))
            print(f"{image}: {count} pinned packages for {' and '.join(found)}, wheels but for {', '.join(COMPILED)}")
    except ResolutionError as error:
        print(f"platforms: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
