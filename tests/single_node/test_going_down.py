"""Going down leaves nothing, whatever state the node is in."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from node import Node, NodeError
from parts import wire
from parts.control_groups import ControlGroup
from parts.layout import Layout
from parts.processes import Handle
from single_node.traces import traces


def start(node: Node, layout: Layout) -> None:
    """Start the first process and wait until it has made its surroundings and started the others."""
    node._start_processes()
    limit_s = time.monotonic() + 60
    while not layout.state_file.exists():
        assert time.monotonic() < limit_s, (layout.logs / "init.log").read_text()
        time.sleep(0.05)


def run_in(node: Node, *command: str) -> str:
    handle = node._handle()
    assert handle is not None
    enter = ["nsenter", f"--target={handle.pid}", "--mount", "--net", "--uts", "--pid", *command]
    return subprocess.run(enter, capture_output=True, text=True, check=True).stdout


def as_started(node: Node) -> None:
    """Everything runs."""


def as_killed(node: Node) -> None:
    """The first process was killed."""
    handle = node._handle()
    assert handle is not None
    handle.signal(signal.SIGKILL)


def as_forgotten(node: Node) -> None:
    """Nobody remembers the first process."""
    node._handle_file.unlink()


def as_stopped(node: Node) -> None:
    """The first process does not answer signals that can be ignored."""
    handle = node._handle()
    assert handle is not None
    handle.signal(signal.SIGKILL)
    node._handle_file.write_text('{"pid": 1, "started": 0}')


@pytest.mark.parametrize("state", [as_started, as_killed, as_forgotten, as_stopped], ids=lambda state: state.__name__)
def test_nothing_is_left(stand_ins: Node, layout: Layout, state: Callable[[Node], None]) -> None:
    before = traces(layout)
    start(stand_ins, layout)
    # Inside are mounts, rules and a name that nobody outside sees.
    run_in(stand_ins, "mount", "-t", "tmpfs", "inside", "/mnt")
    run_in(stand_ins, "ip", "link", "add", "inside", "type", "bridge")
    assert run_in(stand_ins, "cat", "/proc/sys/net/ipv4/ip_forward").strip() == "1"
    during = traces(layout)
    assert during["processes"]
    assert during["groups"]
    assert during["routes"]
    for same in ("mounts", "rules", "namespaces", "settings"):
        assert during[same] == before[same]
    state(stand_ins)
    stand_ins.down(keep_data=False)
    assert traces(layout) == before


def test_what_never_started_goes_down(stand_ins: Node, layout: Layout) -> None:
    before = traces(layout)
    stand_ins.down(keep_data=False)
    ControlGroup(name=layout.control_group).make()
    layout.root.mkdir()
    stand_ins.down(keep_data=False)
    assert traces(layout) == before


def test_data_stay_when_asked(stand_ins: Node, layout: Layout) -> None:
    start(stand_ins, layout)
    stored = layout.root / "etcd" / "objects"
    stored.parent.mkdir()
    stored.touch()
    stand_ins.down(keep_data=True)
    assert stored.exists()
    assert not ControlGroup(name=layout.control_group).processes()


def test_a_program_that_ends_is_started_again_and_the_others_are_left_alone(stand_ins: Node, layout: Layout) -> None:
    start(stand_ins, layout)
    limit_s = time.monotonic() + 20
    while "brief" not in stand_ins.status() or (layout.logs / "init.log").read_text().count("brief ended") < 2:
        assert time.monotonic() < limit_s
        time.sleep(0.1)
    lines = {line.split()[0]: line.split() for line in stand_ins.status().splitlines() if line.strip()}
    assert lines["etcd"][2] == "1"
    assert Path(f"/proc/{lines['etcd'][1]}/cmdline").read_bytes().split(b"\0")[:2] == [b"sleep", b"600"]


def test_status_says_down(layout: Layout) -> None:
    assert Node(layout=layout, say=lambda _step: None).status() == "down"


def test_a_network_that_is_in_use_is_refused_by_name(stand_ins: Node, layout: Layout) -> None:
    start(stand_ins, layout)
    handle = stand_ins._handle()
    assert handle is not None
    other = Layout(name="probe-2", root=layout.root, network=layout.network, output=layout.output)
    with pytest.raises(wire.WireError, match=r"probe-h has an address in 10\.217\.0\.0/16"):
        wire.lay(other, node_pid=handle.pid)


def test_up_names_what_is_not_compiled(layout: Layout) -> None:
    with pytest.raises(NodeError, match=r"etcd, .* not compiled yet: infra/single-node/build\.py"):
        Node(layout=layout, say=lambda _step: None).up()


def test_a_number_that_another_process_has_is_nobody(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        handle = Handle.of(process.pid)
        another = Handle(pid=process.pid, started=handle.started - 1)
        another.signal(signal.SIGKILL)
        assert not another.alive()
        assert handle.alive()
        handle.write(tmp_path / "handle")
        assert Handle.read(tmp_path / "handle") == handle
        handle.signal(signal.SIGKILL)
    assert not handle.alive()
    assert Handle.read(tmp_path / "none") is None
