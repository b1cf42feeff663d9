"""The node's first process: prepares its namespaces, keeps its programs running, ends all of them on SIGTERM.

It runs as process 1 of namespaces of its own, so that when it ends the kernel ends every process, mount, interface and
firewall rule that the node ever made. Only the standard library: it starts before anything else does.

    init.py PROGRAMS.json    written by node.py: see `Plan`
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

# One that ends at once is not started in a tight loop.
PAUSE_S = 1.0
# Of etcd, which goes last and must have written what it holds.
END_LIMIT_S = 15.0
# The queue that the enforcer of NetworkPolicies reads by default.
POLICY_QUEUE = "100"


# Without its notes below /run, which is the machine's until the node has its own.
MOUNT = ("mount", "--no-mtab")


class Program(TypedDict):
    """One program: its log is ``name`` with ``.log``."""

    name: str
    command: list[str]


class Plan(TypedDict):
    """What node.py asks for."""

    host_name: str
    logs: str
    state_file: str
    path: str
    # Folder of the machine that the node's own replaces, to the one that takes its place.
    private: dict[str, str]
    # Folders that must stay where they are, though a private one lies over them.
    kept: list[str]
    # Settings of the machine's kernel that kubelet would change, to what it wants to read there.
    shadows: dict[str, str]
    shadow_folder: str
    interface: str
    address: str
    gateway: str
    pod_network: str
    programs: list[Program]


def run(*command: str, check: bool = True) -> bool:
    """Run a command of the set-up; true when it succeeded."""
    return subprocess.run(command, check=check, capture_output=not check).returncode == 0


def arrange_mounts(plan: Plan) -> None:
    """Put the node's own folders where programs write by default, so that nothing reaches the machine's."""
    kept = {folder: os.open(folder, os.O_PATH) for folder in plan["kept"]}
    run(*MOUNT, "-t", "tmpfs", "-o", "mode=755", "run", "/run")
    for place, own in plan["private"].items():
        Path(own).mkdir(parents=True, exist_ok=True)
        run(*MOUNT, "--bind", own, place)
    for folder, handle in kept.items():
        if any(Path(folder).is_relative_to(place) for place in ("/run", *plan["private"])):
            Path(folder).mkdir(parents=True, exist_ok=True)
            os.set_inheritable(handle, True)  # noqa: FBT003 - os has it positional
            subprocess.run(
                [*MOUNT, "--no-canonicalize", "--bind", f"/proc/self/fd/{handle}", folder], check=True, close_fds=False
            )
        os.close(handle)
    for setting, value in plan["shadows"].items():
        shadow = Path(plan["shadow_folder"], setting.replace("/", "."))
        shadow.parent.mkdir(parents=True, exist_ok=True)
        shadow.write_text(f"{value}\n")
        if Path("/proc/sys", setting).exists():
            run(*MOUNT, "--bind", str(shadow), f"/proc/sys/{setting}")
    # Pods with mount propagation need it; the machine, from which unshare has parted these, sees none of it.
    run(*MOUNT, "--make-rshared", "/")


def arrange_network(plan: Plan) -> None:
    """Bring up this end of the wire, which node.py lays; let packets through to pods."""
    run("ip", "link", "set", "lo", "up")
    while not run("ip", "link", "show", plan["interface"], check=False):
        time.sleep(0.02)
    run("ip", "address", "add", plan["address"], "dev", plan["interface"])
    run("ip", "link", "set", plan["interface"], "up")
    run("ip", "route", "add", "default", "via", plan["gateway"])
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def divert_to_policies(pod_network: str) -> None:
    """Send the first packet of each connection of a pod to the enforcer, where nftables cannot.

    The enforcer makes such rules itself, by nftables' `queue`. Kernels without it (CONFIG_NFT_QUEUE) have iptables'
    NFQUEUE. The verdicts are the enforcer's in both cases; here every pod's connections wait for one, not only those of
    pods that a policy selects.
    """
    rules = "add table inet probe; add chain inet probe c; add rule inet probe c queue num 0; delete table inet probe"
    if run("nft", rules, check=False):
        return
    print("init: the kernel's nftables has no queue; iptables' NFQUEUE takes its place", flush=True)
    for rule in (
        "-N NETWORK-POLICIES",
        # What root does on the node itself, kubelet's probes above all, is not for policies to decide.
        "-A NETWORK-POLICIES -m owner --uid-owner 0 -j RETURN",
        "-A NETWORK-POLICIES -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN",
        f"-A NETWORK-POLICIES -s {pod_network} -j NFQUEUE --queue-num {POLICY_QUEUE}",
        f"-A NETWORK-POLICIES -d {pod_network} -j NFQUEUE --queue-num {POLICY_QUEUE}",
        "-A POSTROUTING -j NETWORK-POLICIES",
    ):
        run("iptables-nft", "--wait", "--table", "mangle", *rule.split())


class Programs:
    """The node's programs, each started again when it ends.

    Args:
        plan: what to run.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._running: dict[int, Program] = {}
        self._due: list[tuple[float, Program]] = [(0.0, program) for program in plan["programs"]]
        self._starts: dict[str, int] = {}

    def start_due(self) -> None:
        """Start those whose time has come."""
        now_s = time.monotonic()
        due = [program for at_s, program in self._due if at_s <= now_s]
        if not due:
            return
        self._due = [(at_s, program) for at_s, program in self._due if at_s > now_s]
        for program in due:
            self._running[self._spawn(program)] = program
        self._write_state()

    def take_the_dead(self) -> None:
        """Reap every process that ended; note which of them were ours."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            program = self._running.pop(pid, None)
            if program is not None:
                code = os.waitstatus_to_exitcode(status)
                print(f"init: {program['name']} ended with {code}", flush=True)
                self._due.append((time.monotonic() + PAUSE_S, program))
                self._write_state()

    def end(self) -> None:
        """Ask all to end, the last started first, and wait for each for a while."""
        self._due = []
        for pid, program in reversed(self._running.items()):
            os.kill(pid, signal.SIGTERM)
            limit_s = time.monotonic() + END_LIMIT_S
            while time.monotonic() < limit_s:
                ended, _ = os.waitpid(pid, os.WNOHANG)
                if ended:
                    break
                time.sleep(0.05)
            else:
                print(f"init: {program['name']} did not end within {END_LIMIT_S:g} s", flush=True)

    def _spawn(self, program: Program) -> int:
        name = program["name"]
        self._starts[name] = self._starts.get(name, 0) + 1
        with Path(self._plan["logs"], f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                program["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        # Every child is reaped above; Popen shall not wait for it as well.
        process.returncode = 0
        return process.pid

    def _write_state(self) -> None:
        state = {
            program["name"]: {"pid": pid, "starts": self._starts[program["name"]]}
            for pid, program in self._running.items()
        }
        fresh = Path(self._plan["state_file"] + ".new")
        fresh.write_text(json.dumps(state))
        fresh.replace(self._plan["state_file"])


def main(arguments: Sequence[str]) -> int:
    """Set up, run, end."""
    plan: Plan = json.loads(Path(arguments[0]).read_text())
    os.environ.clear()
    os.environ.update({"PATH": plan["path"], "HOME": "/root", "LANG": "C.UTF-8"})
    libc = ctypes.CDLL(None, use_errno=True)
    host_name = plan["host_name"].encode()
    if libc.sethostname(host_name, len(host_name)):
        raise OSError(ctypes.get_errno(), "sethostname")
    arrange_mounts(plan)
    arrange_network(plan)
    divert_to_policies(plan["pod_network"])
    ending = False

    def end(_number: int, _frame: object) -> None:
        nonlocal ending
        ending = True

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    programs = Programs(plan)
    while not ending:
        programs.start_due()
        time.sleep(PAUSE_S / 5)
        programs.take_the_dead()
    programs.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
