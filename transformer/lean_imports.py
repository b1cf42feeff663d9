"""Keeps out of the process what the KServe SDK imports and a transformer never runs.

``import kserve`` loads the Kubernetes client with its 130 API models and pandas: 0.8 s and 55 MB that buy nothing here.
The package's ``__init__`` is skipped by registering the package without running it, and pandas, which the SDK names
only in annotations and in ``as_dataframe()``, is replaced by a stand-in until something really asks for it.
"""

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any


class _PandasOnDemand(ModuleType):
    """Stands in for pandas: knows the one name annotations need, loads the real package for any other."""

    class DataFrame:
        """What the SDK's annotations refer to."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        sys.modules.pop("pandas", None)
        return getattr(importlib.import_module("pandas"), name)


def skip_unused_sdk_imports() -> None:
    """Prepare ``sys.modules`` so that ``kserve.model_server`` loads without pandas and the Kubernetes client.

    Call it before the first import of kserve; where kserve is loaded already it does nothing.

    Raises:
        ModuleNotFoundError: kserve is not installed.
    """
    if "kserve" in sys.modules:
        return
    spec = importlib.util.find_spec("kserve")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("kserve is not installed", name="kserve")
    package = ModuleType("kserve")
    package.__path__ = list(spec.submodule_search_locations)
    package.__spec__ = spec
    sys.modules["kserve"] = package
    sys.modules.setdefault("pandas", _PandasOnDemand("pandas"))
