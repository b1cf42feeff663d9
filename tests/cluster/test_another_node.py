"""A second node of the real programs, beside the one that runs: it comes up, goes down, and leaves nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.pods import Kubectl
from node import Node
from parts.layout import Layout
from single_node.traces import traces


@pytest.fixture
def another(layout: Layout, tmp_path: Path) -> Iterator[tuple[Node, Layout]]:
    beside = Layout(name="another", root=tmp_path / "root", network="10.218.0.0/16", output=layout.output)
    node = Node(layout=beside, say=print)
    yield node, beside
    node.down(keep_data=False)


@pytest.mark.timeout(600)
def test_it_starts_goes_down_starts_again_with_its_objects_and_leaves_nothing(another: tuple[Node, Layout]) -> None:
    node, layout = another
    before = traces(layout)
    node.up()
    kubectl = Kubectl(layout=layout)
    kubectl("create", "configmap", "kept", "--from-literal=it=stays")
    pods = kubectl.read("pods")["items"]
    assert pods == []
    assert "etcd" in node.status()
    during = traces(layout)
    for same in ("mounts", "rules", "namespaces", "settings"):
        assert during[same] == before[same]
    node.down(keep_data=True)
    node.up()
    assert kubectl.read("configmap/kept")["data"] == {"it": "stays"}
    kubectl("--namespace=kube-system", "wait", "--for=condition=Ready", "--timeout=120s", "pod", "--all")
    # Going up once more is no change.
    began = node.status().splitlines()[1]
    node.up()
    assert node.status().splitlines()[1] == began
    node.down(keep_data=False)
    assert traces(layout) == before
