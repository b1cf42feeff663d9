import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import REPO
from support.programs import require, require_root

# The scripts import what lies beside them, as they do when they are run.
sys.path.insert(0, str(REPO / "infra" / "single-node"))

from node import Node
from parts import programs
from parts.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A node beside any other, with nothing compiled."""
    return Layout(name="probe", root=tmp_path / "root", network="10.217.0.0/16", output=tmp_path / "output")


@pytest.fixture
def stand_ins(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A node with real namespaces, groups and wire, whose programs are two that sleep and one that ends at once."""
    require_root("namespaces and control groups")
    for program, package in (("nft", "nftables"), ("iptables-nft", "iptables"), ("ip", "iproute2")):
        require(program, package=package)
    if subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], check=False).returncode:
        pytest.fail("this machine's kernel refuses namespaces")
    real = programs.plan

    def plan(asked: Layout) -> programs.Plan:
        made = real(asked)
        made["programs"] = [
            {"name": "etcd", "command": ["sleep", "600"]},
            {"name": "kubelet", "command": ["sleep", "601"]},
            {"name": "brief", "command": ["true"]},
        ]
        return made

    monkeypatch.setattr(programs, "plan", plan)
    # No API server answers.
    kubectl = layout.binaries / "kubernetes"
    kubectl.parent.mkdir(parents=True)
    kubectl.write_text("#!/bin/sh\nexit 1\n")
    kubectl.chmod(0o755)
    node = Node(layout=layout, say=lambda _step: None)
    yield node
    node.down(keep_data=False)
