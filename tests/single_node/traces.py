"""What a node could leave on this machine."""

import subprocess
from pathlib import Path

from parts.control_groups import ControlGroup, hierarchies
from parts.layout import Layout

# Where the node's programs put things by default, and where its own folders are instead.
PLACES = (
    "/run/containerd", "/run/netns", "/run/nri", "/run/cni", "/var/lib/kubelet", "/var/lib/containerd",
    "/var/lib/cni", "/var/log/pods", "/var/log/containers", "/etc/cni/net.d",
)  # fmt: skip


def traces(layout: Layout) -> dict[str, list[str]]:
    """Look at everything that a node makes outside its namespaces, and at what it could change."""
    ours = (str(layout.root), *PLACES)

    def told(*command: str) -> list[str]:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

    return {
        # Whatever else mounts on this machine meanwhile is not the node's.
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if any(map(line.count, ours))],
        "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "routes": told("ip", "route", "show", "table", "all", "root", layout.network),
        "rules": [line for line in told("nft", "list", "ruleset") if "counter" not in line],
        "namespaces": told("ip", "netns", "list"),
        "groups": [
            str(place / layout.control_group) for place in hierarchies() if (place / layout.control_group).exists()
        ],
        "processes": [str(pid) for pid in ControlGroup(name=layout.control_group).processes()],
        "settings": [
            Path("/proc/sys", name).read_text()
            for name in ("net/ipv4/ip_forward", "vm/overcommit_memory", "kernel/panic", "kernel/hostname")
        ],
        "files": [str(path) for path in (layout.root, layout.kubeconfig) if path.exists()],
        "places": [place for place in PLACES if Path(place).exists()],
    }
