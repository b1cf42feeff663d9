"""Where one node keeps its things, and which addresses are its own."""

import ipaddress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Names, folders and addresses of one node; two nodes differ in all of ``name``, ``root`` and ``network``.

    Args:
        name: of the node, its control group and (first letters) its network interface; at most 13 characters.
        root: everything that it writes lies below, but for the kubeconfig.
        network: a /16 that nothing on this machine uses.
        output: where the kubeconfig goes and the programs are.
    """

    name: str = "sentiment"
    root: Path = Path("/var/lib/sentiment-single-node")
    network: str = "10.213.0.0/16"
    output: Path = field(default=REPOSITORY / "build" / "single-node")

    @cached_property
    def _octets(self) -> str:
        network = ipaddress.ip_network(self.network)
        if network.prefixlen != 16 or network.version != 4:
            raise ValueError(f"{self.network} is no IPv4 /16")
        return str(network.network_address).rsplit(".", 2)[0]

    @property
    def host_address(self) -> str:
        """This machine's end of the wire to the node."""
        return f"{self._octets}.0.1"

    @property
    def node_address(self) -> str:
        """The node's end: kubelet, apiserver."""
        return f"{self._octets}.0.2"

    @property
    def load_balancer_network(self) -> str:
        """One address for each Service of type LoadBalancer."""
        return f"{self._octets}.1.0/24"

    @property
    def pod_network(self) -> str:
        """Addresses of pods."""
        return f"{self._octets}.2.0/24"

    @property
    def service_network(self) -> str:
        """Cluster addresses of Services."""
        return f"{self._octets}.16.0/20"

    @property
    def kubernetes_service_address(self) -> str:
        """The Service `kubernetes`: the first of its network."""
        return f"{self._octets}.16.1"

    @property
    def dns_address(self) -> str:
        """The Service `kube-dns`: the tenth, as everywhere."""
        return f"{self._octets}.16.10"

    @property
    def server(self) -> str:
        """The API server's address for anybody on this machine."""
        return f"https://{self.node_address}:6443"

    @property
    def host_interface(self) -> str:
        """This machine's end of the wire; the kernel allows 15 characters."""
        return f"{self.name[:13]}-h"

    @property
    def control_group(self) -> str:
        """Name of the group, in every hierarchy, that holds all of the node's processes."""
        return f"{self.name}-node"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.output / ("kubeconfig" if self.name == "sentiment" else f"kubeconfig-{self.name}")

    @property
    def binaries(self) -> Path:
        """Programs that `build.py` compiled."""
        return self.output / "bin"

    @property
    def certificates(self) -> Path:
        """Keys and certificates of the control plane."""
        return self.root / "certificates"

    @property
    def configuration(self) -> Path:
        """Files that the programs read."""
        return self.root / "configuration"

    @property
    def logs(self) -> Path:
        """One log for each program."""
        return self.root / "logs"

    @property
    def containerd_socket(self) -> Path:
        """Where containerd listens; reachable from outside the node, as it lies below the root."""
        return self.root / "containerd.sock"

    @property
    def state_file(self) -> Path:
        """What the node's first process says of the others."""
        return self.root / "state.json"
