"""The wire between this machine and the node: all that the node changes of this machine's network."""

import json
import subprocess
from pathlib import Path

from parts.layout import Layout


class WireError(Exception):
    """The network cannot be set up."""


def lay(layout: Layout, *, node_pid: int) -> None:
    """Lay the wire into the network namespace of a process; what of it is there already goes first.

    Raises:
        WireError: the network is in use, or the kernel refuses.
    """
    remove(layout)
    taken = _who_has(layout)
    if taken:
        raise WireError(f"{taken} has an address in {layout.network}: choose another with --network")
    here = layout.host_interface
    _ip("link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", str(node_pid))
    _ip("address", "add", f"{layout.host_address}/24", "dev", here)
    _ip("link", "set", here, "up")
    for network in (layout.load_balancer_network, layout.pod_network, layout.service_network):
        _ip("route", "add", network, "via", layout.node_address, "dev", here)


def remove(layout: Layout) -> None:
    """Take the wire away; its routes and the other end go with it."""
    here = Path("/sys/class/net", layout.host_interface)
    if here.exists():
        try:
            _ip("link", "delete", layout.host_interface)
        except WireError:
            # The kernel takes it away itself, a moment after the last process of the node has ended.
            if here.exists():
                raise


def _who_has(layout: Layout) -> str | None:
    start = layout.host_address.rsplit(".", 2)[0] + "."
    for interface in json.loads(_ip("-json", "address", "show")):
        for address in interface.get("addr_info", ()):
            if address["local"].startswith(start):
                return str(interface["ifname"])
    return None


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise WireError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
