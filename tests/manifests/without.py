"""Runs a service while imports of some modules are refused: `without.py a,b,c.d SERVICE ARGUMENT...`."""

import runpy
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Refusing(MetaPathFinder):
    """Answers for the refused modules, and what lies below them, as if they were not installed."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError for a refused module; leave the others to the next finder."""
        parts = fullname.split(".")
        if any(".".join(parts[:length]) in self._names for length in range(1, len(parts) + 1)):
            raise ModuleNotFoundError(f"refused: {fullname}", name=fullname)
        return None


if __name__ == "__main__":
    refused, service, *arguments = sys.argv[1:]
    sys.meta_path.insert(0, Refusing(frozenset(refused.split(","))))
    sys.path[0] = "."
    sys.argv = [service, *arguments]
    runpy.run_module(service, run_name="__main__", alter_sys=True)
