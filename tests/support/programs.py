"""What tests need of a machine: programs that pip does not always bring, and root.

Where it is missing, CI fails and anyone else's run skips.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest


def require(program: str, *places: Path, package: str = "") -> str:
    """Path of a program that has to be there.

    Args:
        program: its name on PATH.
        places: files that are taken first, where one is there.
        package: what to install for it, if not a package of that name.
    """
    found = next((str(place) for place in places if place.exists()), None) or shutil.which(program)
    return found or _missing(f"{program} is not installed (Debian: apt-get install {package or program})")


def require_root(what: str) -> None:
    """Ask for root, which ``what`` needs."""
    if os.geteuid() != 0:
        _missing(f"{what} need root")


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
