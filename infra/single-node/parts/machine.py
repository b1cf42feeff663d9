"""What a machine must have before a node can start on it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from parts.configuration import PLUGIN_FOLDERS

# Program to Debian's package that has it.
PROGRAMS: Mapping[str, str] = {
    "conntrack": "conntrack",
    "ip": "iproute2",
    "iptables-nft": "iptables",
    "mount": "mount",
    "nft": "nftables",
    "runc": "runc",
    "unshare": "util-linux",
}
PLUGINS = ("ptp", "host-local", "loopback")
PLUGINS_PACKAGE = "containernetworking-plugins"


class MachineError(Exception):
    """The machine lacks something."""


def check_root(*, platform: str = sys.platform, user: Callable[[], int] = os.geteuid) -> None:
    """Raise MachineError unless this is Linux and root."""
    if platform != "linux":
        raise MachineError("a single node needs Linux: its kernel runs the pods")
    if user() != 0:
        raise MachineError("a single node needs root: it makes namespaces, control groups and an interface")


def missing_packages(programs: Mapping[str, str] = PROGRAMS, *, plugins: Sequence[str] = PLUGINS) -> list[str]:
    """Give Debian's packages whose programs this machine lacks."""
    found = {package for program, package in programs.items() if shutil.which(program, path=_path()) is None}
    if not any(all((folder / plugin).exists() for plugin in plugins) for folder in PLUGIN_FOLDERS) and plugins:
        found.add(PLUGINS_PACKAGE)
    return sorted(found)


def install_missing(programs: Mapping[str, str] = PROGRAMS, *, plugins: Sequence[str] = PLUGINS) -> None:
    """Install what is missing with apt-get; raises MachineError where that is not to be had."""
    packages = missing_packages(programs, plugins=plugins)
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise MachineError(f"these are missing, and apt-get is not here to install them: {', '.join(packages)}")
    print(f"cluster: installing {', '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", *packages]
    for command in (["apt-get", "update", "--quiet=2"], install):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise MachineError(f"{' '.join(command)} failed: {done.stderr.strip().splitlines()[-1:]}")


def check_control_groups(mounts: str | None = None) -> None:
    """Raise MachineError unless the kernel's control groups are mounted."""
    lines = (Path("/proc/self/mounts").read_text() if mounts is None else mounts).splitlines()
    if not any(line.split()[2] in {"cgroup", "cgroup2"} for line in lines):
        raise MachineError("no control groups are mounted below /sys/fs/cgroup")


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
