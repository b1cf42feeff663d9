"""Starts and stops a real single-node Kubernetes on this machine: ``node.py up | down | status | within COMMAND``.

Its programs come from `build.py`. They run in namespaces of their own (processes, mounts, network, host name), below
one control group and in one folder: when it goes down nothing of it is left. `kubectl` reaches it by the kubeconfig
that `up` writes; addresses of pods and Services are routed from this machine.
"""

import argparse
import contextlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import images
from parts import addons, machine, programs, wire
from parts.control_groups import ControlGroup
from parts.layout import Layout
from parts.processes import Handle, pid_in_node, resident_bytes

# For each step; the first process takes a moment, an API server on a busy machine a minute.
START_LIMIT_S = 150.0
END_LIMIT_S = 60.0
PAUSE_S = 0.25


class NodeError(Exception):
    """The node does not do what was asked."""


class Node:
    """One node.

    Args:
        layout: its names, folders and addresses.
        say: gets each step, for people.
    """

    def __init__(self, *, layout: Layout, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._say = say
        self._group = ControlGroup(name=layout.control_group)
        self._handle_file = layout.root / "node.json"

    def up(self) -> None:
        """Start it; what was left by an earlier try goes first, what it stored stays. Raises NodeError."""
        needed = [*programs.BINARIES, *addons.binaries()]
        missing = [name for name in needed if not (self._layout.binaries / name).exists()]
        if missing:
            raise NodeError(f"{', '.join(missing)} not compiled yet: infra/single-node/build.py does it")
        if self._is_up():
            self._say(f"is up already: export KUBECONFIG={self._layout.kubeconfig}")
            return
        self.down(keep_data=True)
        began_s = time.monotonic()
        self._start_processes()
        self._await("the API server", self._api_is_ready)
        self._await("containerd", lambda: images.list_images(layout=self._layout) is not None)
        addons.load_images(self._layout)
        self._await(
            "rights and system namespaces", lambda: "kube-system" in self._kubectl("get", "namespaces", "-o=name")
        )
        self._await("the cluster's own objects", self._apply_addons)
        self._await("the node", lambda: self._condition("node", "Ready"))
        self._await("cluster DNS", lambda: self._condition("deployment/coredns", "Available"))
        self._say(f"up after {time.monotonic() - began_s:.0f} s: export KUBECONFIG={self._layout.kubeconfig}")

    def down(self, *, keep_data: bool) -> None:
        """Stop it, from whatever state it is in, and remove every trace; its stored data too unless they are kept."""
        handle = self._handle()
        if handle is not None and handle.alive():
            self._say("stopping")
            handle.signal(signal.SIGTERM)
            limit_s = time.monotonic() + END_LIMIT_S
            while handle.alive() and time.monotonic() < limit_s:
                time.sleep(PAUSE_S)
        self._group.end()
        self._group.remove()
        wire.remove(self._layout)
        for path in (self._handle_file, self._layout.state_file, self._layout.containerd_socket):
            path.unlink(missing_ok=True)
        if not keep_data:
            self._layout.kubeconfig.unlink(missing_ok=True)
            shutil.rmtree(self._layout.root, ignore_errors=not self._layout.root.exists())

    def status(self) -> str:
        """Say for each program whether it runs, its pid on this machine and its memory."""
        if not self._is_running():
            return "down"
        state = json.loads(self._layout.state_file.read_text()) if self._layout.state_file.exists() else {}
        pids = {pid_in_node(pid): pid for pid in self._group.processes()}
        lines = [f"{'program':<26}{'pid':>8}{'starts':>8}{'MiB':>8}"]
        for name, told in state.items():
            pid = pids.get(told["pid"])
            size = resident_bytes(pid) / 2**20 if pid else 0
            lines.append(f"{name:<26}{pid or 'gone':>8}{told['starts']:>8}{size:>8.0f}")
        lines.append(f"all processes, pods included: {self._group.memory_bytes() / 2**20:.0f} MiB")
        with contextlib.suppress(subprocess.CalledProcessError):
            lines.append(self._kubectl("get", "node,pods", "--all-namespaces", "-o=wide").rstrip())
        return "\n".join(lines)

    def within(self, command: Sequence[str]) -> int:
        """Run a command in the node's network, where no policy of pods holds it up; give its status."""
        handle = self._handle()
        if handle is None or not handle.alive():
            raise NodeError("is not up: make cluster")
        return subprocess.run(["nsenter", f"--target={handle.pid}", "--net", "--", *command], check=False).returncode

    def _start_processes(self) -> None:
        layout = self._layout
        plan = programs.plan(layout)
        programs.write_administrator(layout)
        plan_file = layout.configuration / "plan.json"
        plan_file.write_text(json.dumps(plan, indent=2))
        self._group.make()
        joins = " ".join(shlex.quote(str(path)) for path in self._group.files_to_join("system"))
        init = [sys.executable, str(Path(__file__).with_name("parts") / "init.py"), str(plan_file)]
        unshare = ["unshare", "--fork", "--pid", "--mount-proc", "--mount", "--net", "--uts", "--ipc", *init]
        script = f"for group in {joins}; do echo 0 > $group; done; exec {shlex.join(unshare)}"
        with (layout.logs / "init.log").open("ab") as log:
            # Nobody's child: it stays when this command ends, and is not waited for.
            subprocess.run(["setsid", "--fork", "/bin/sh", "-euc", script], check=True, stdout=log, stderr=log)
        limit_s = time.monotonic() + START_LIMIT_S
        while not (firsts := [pid for pid in self._group.processes() if pid_in_node(pid) == 1]):
            if time.monotonic() > limit_s:
                raise NodeError(f"its first process does not start: see {layout.logs}/init.log")
            time.sleep(PAUSE_S / 10)
        Handle.of(firsts[0]).write(self._handle_file)
        wire.lay(layout, node_pid=firsts[0])

    def _await(self, what: str, ready: Callable[[], bool]) -> None:
        began_s = time.monotonic()
        reason = ""
        while True:
            if not self._is_running():
                raise NodeError(f"its first process ended while waiting for {what}: see {self._layout.logs}/init.log")
            try:
                if ready():
                    break
            except subprocess.CalledProcessError as error:
                reason = error.stderr.strip()
            except images.ImageError as error:
                reason = str(error)
            if time.monotonic() - began_s > START_LIMIT_S:
                logs = f"the logs are in {self._layout.logs}"
                raise NodeError(
                    f"{what}: not ready within {START_LIMIT_S:g} s; {logs}; last answer: {reason or 'none'}"
                )
            time.sleep(PAUSE_S)
        self._say(f"{what} ready after {time.monotonic() - began_s:.1f} s")

    def _handle(self) -> Handle | None:
        return Handle.read(self._handle_file)

    def _is_running(self) -> bool:
        handle = self._handle()
        return handle is not None and handle.alive()

    def _is_up(self) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            return self._is_running() and self._api_is_ready() and self._condition("node", "Ready")
        return False

    def _api_is_ready(self) -> bool:
        return self._kubectl("get", "--raw=/readyz", "--request-timeout=2s").strip() == "ok"

    def _apply_addons(self) -> bool:
        addons.apply(self._layout)
        return True

    def _condition(self, what: str, condition: str) -> bool:
        path = f"{{..conditions[?(@.type=='{condition}')].status}}"
        return self._kubectl("get", "--namespace=kube-system", what, f"-o=jsonpath={path}").strip() == "True"

    def _kubectl(self, *words: str) -> str:
        return addons.kubectl(self._layout, words)


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--name", default=Layout.name, help="of the node; another one beside it needs all three")
    parser.add_argument("--root", type=Path, default=Layout.root, help="folder of everything it stores")
    parser.add_argument("--network", default=Layout.network, help="a /16 that nothing here uses")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start it")
    down = commands.add_parser("down", help="stop it and remove every trace")
    down.add_argument("--keep-data", action="store_true", help="the next `up` goes on with the same objects and images")
    commands.add_parser("status", help="its programs, memory and pods")
    within = commands.add_parser("within", help="run a command in its network")
    within.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    told = parser.parse_args()
    node = Node(
        layout=Layout(name=told.name, root=told.root, network=told.network),
        say=lambda step: print(f"cluster: {step}", flush=True),
    )
    try:
        machine.check_root()
        if told.command == "up":
            machine.check_control_groups()
            machine.install_missing()
            node.up()
        elif told.command == "down":
            node.down(keep_data=told.keep_data)
        elif told.command == "within":
            return node.within(told.words)
        else:
            print(node.status())
    except subprocess.CalledProcessError as error:
        print(f"cluster: {shlex.join(error.cmd)}: {error.stderr.strip()}", file=sys.stderr)
        return 1
    except (NodeError, machine.MachineError, wire.WireError, images.ImageError, TimeoutError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
