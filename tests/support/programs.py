"""Programs that tests drive and pip does not always bring."""

import os
import shutil
from pathlib import Path

import pytest


def require(program: str, *places: Path, package: str = "") -> str:
    """Path of a program; without it CI fails and anyone else's run skips.

    Args:
        program: its name on PATH.
        places: files that are taken first, where one is there.
        package: what to install for it, if not a package of that name.
    """
    found = next((str(place) for place in places if place.exists()), None) or shutil.which(program)
    if found is None:
        reason = f"{program} is not installed (Debian: apt-get install {package or program})"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
