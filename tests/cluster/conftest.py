"""A running cluster of `make cluster`, and namespaces of each test's own on it."""

import sys
import uuid
from collections.abc import Callable, Iterator

import pytest
from support.processes import REPO

sys.path.insert(0, str(REPO / "infra" / "single-node"))

from cluster.pods import RESTRICTED, Kubectl
from parts.layout import Layout


@pytest.fixture(scope="session")
def layout() -> Layout:
    found = Layout()
    if not found.kubeconfig.exists():
        pytest.fail("no cluster runs here: make cluster")
    return found


@pytest.fixture
def make_namespace(layout: Layout) -> Iterator[Callable[[], Kubectl]]:
    names = []
    everywhere = Kubectl(layout=layout)

    def make() -> Kubectl:
        name = f"test-{uuid.uuid4().hex[:8]}"
        names.append(name)
        everywhere("create", "namespace", name)
        everywhere("label", "namespace", name, f"{RESTRICTED}=restricted")
        return Kubectl(layout=layout, namespace=name)

    yield make
    everywhere("delete", "namespace", "--wait=false", *names)


@pytest.fixture
def kubectl(make_namespace: Callable[[], Kubectl]) -> Kubectl:
    return make_namespace()
