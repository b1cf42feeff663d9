"""Loads the KServe SDK without the half that these servers never run.

``import kserve`` runs a package file that imports the Kubernetes client and a class for each of its API objects, and
pandas comes along for one conversion. Together they are most of the SDK's import time and memory. The package is
registered here without running that file, and pandas is a stand-in that loads the real one when something needs it.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


class _DataFrame:
    """Stands in for the class in annotations; calling it makes a real one."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        return importlib.import_module("pandas").DataFrame(*args, **options)


class _DeferredPandas(ModuleType):
    """Pandas for code that only names ``DataFrame`` in annotations; anything else loads the real one."""

    DataFrame = _DataFrame

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get("pandas") is self:
            del sys.modules["pandas"]
        return getattr(importlib.import_module("pandas"), name)


def import_sdk_leanly() -> None:
    """Register ``kserve`` as a package whose modules load one by one; does nothing once it is loaded."""
    if "kserve" in sys.modules:
        return
    spec = importlib.util.find_spec("kserve")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("kserve is not installed", name="kserve")
    package = importlib.util.module_from_spec(spec)
    sys.modules["kserve"] = package
    deferred = "pandas" not in sys.modules
    if deferred:
        sys.modules["pandas"] = _DeferredPandas("pandas")
    try:
        importlib.import_module("kserve.model_server")
    finally:
        # Others check this entry, and would take the stand-in for the real pandas.
        if deferred and isinstance(sys.modules.get("pandas"), _DeferredPandas):
            del sys.modules["pandas"]
