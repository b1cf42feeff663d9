"""Print what pyproject.toml asks for, extras included: `requirements.py PYPROJECT EXTRA...`.

The image installs these before it copies any code, so that a change of code leaves the large layer alone.
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """Dependencies of the project and of the extras; raises KeyError on an extra that does not exist."""
    project = tomllib.loads(pyproject.read_text())["project"]
    optional = [line for extra in extras for line in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *optional]


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2:])))
