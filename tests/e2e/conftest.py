"""A cluster whose API server is a double."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.api_double import ApiDouble
from e2e.cluster import Cluster


@pytest.fixture
def api() -> Iterator[ApiDouble]:
    """An API server that answers as recorded."""
    with ApiDouble() as double:
        yield double


@pytest.fixture
def cluster(api: ApiDouble, tmp_path: Path) -> Cluster:
    """The cluster that it stands for."""
    return Cluster(kubeconfig=api.kubeconfig(tmp_path), pause_s=0.01)
