"""Programs that tests drive and pip does not bring."""

import os
import shutil

import pytest


def require(program: str, *, package: str) -> str:
    """Path of a program; without it CI fails and anyone else's run skips."""
    path = shutil.which(program)
    if path is None and os.environ.get("CI") == "true":
        pytest.fail(f"{program} is not on PATH (Debian: apt-get install {package})")
    if path is None:
        pytest.skip(f"{program} is not on PATH")
    return path
