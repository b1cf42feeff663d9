"""Where a Go module's sources lie on this machine: charts, manifests, templates are read there, never copied here."""

import subprocess
from pathlib import Path

COMPONENTS = Path(__file__).resolve().parents[1] / "components"


class ModuleError(Exception):
    """A module cannot be had."""


def directory(group: str, module: str) -> Path:
    """Give the folder of a module in the version that a group of components is built from.

    Raises:
        ModuleError: Go does not find it; says Go's own words.
    """
    folder = COMPONENTS / group
    for command in (["go", "mod", "download", module], ["go", "list", "-m", "-f", "{{.Dir}}", module]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ModuleError(f"{' '.join(command)} in {folder}: {done.stderr.strip()}")
    return Path(done.stdout.strip())
