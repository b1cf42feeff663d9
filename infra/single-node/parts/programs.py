"""The node's programs with their commands, and who each of them is to the API server."""

import sys
from pathlib import Path

from parts import configuration
from parts.certificates import Authority, Identity, signing_key, write_kubeconfig
from parts.init import Plan, Program
from parts.layout import Layout

BINARIES = ("etcd", "kubernetes", "containerd", "containerd-shim-runc-v2", "ctr")
ETCD_PORT = 2379
LOAD_BALANCER_USER = "single-node:load-balancer"
# What kubelet wants of the kernel and would set: shown to it and not set, for the machine is not the node's alone.
SHADOWS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def plan(layout: Layout) -> Plan:
    """Make certificates and configurations; say what is to run."""
    for folder in (layout.root, layout.configuration, layout.logs, layout.root / "var-lib", layout.root / "var-log"):
        folder.mkdir(parents=True, exist_ok=True)
    layout.root.chmod(0o700)
    return {
        "host_name": layout.control_group,
        "logs": str(layout.logs),
        "state_file": str(layout.state_file),
        "path": f"{layout.binaries}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "private": {"/var/lib": str(layout.root / "var-lib"), "/var/log": str(layout.root / "var-log")},
        "kept": [str(layout.root), str(Path(__file__).resolve().parents[3])],
        "shadows": SHADOWS,
        "shadow_folder": str(layout.root / "shadows"),
        "interface": "eth0",
        "address": f"{layout.node_address}/24",
        "gateway": layout.host_address,
        "pod_network": layout.pod_network,
        "programs": _Programs(layout).all(),
    }


class _Programs:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._authority = Authority(name="cluster", folder=layout.certificates)
        self._front_proxy = Authority(name="front-proxy", folder=layout.certificates)
        self._authority_file = str(self._authority.pair.certificate)

    def all(self) -> list[Program]:
        """Give them in the order of their start."""
        return [
            {"name": "etcd", "command": self._etcd()},
            {"name": "kube-apiserver", "command": self._apiserver()},
            {"name": "kube-controller-manager", "command": self._controller_manager()},
            {"name": "kube-scheduler", "command": self._scheduler()},
            {"name": "containerd", "command": self._containerd()},
            {"name": "kubelet", "command": self._kubelet()},
            {"name": "kube-proxy", "command": self._proxy()},
            {"name": "load-balancer", "command": self._load_balancer()},
        ]

    def _etcd(self) -> list[str]:
        pair = self._authority.issue("etcd", Identity(user="etcd", names=["localhost"], addresses=["127.0.0.1"]))
        client, peer = f"https://127.0.0.1:{ETCD_PORT}", f"https://127.0.0.1:{ETCD_PORT + 1}"
        return [
            str(self._layout.binaries / "etcd"),
            "--name=node",
            f"--data-dir={self._layout.root}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=node={peer}",
            f"--cert-file={pair.certificate}",
            f"--key-file={pair.key}",
            f"--trusted-ca-file={self._authority_file}",
            "--client-cert-auth",
            f"--peer-cert-file={pair.certificate}",
            f"--peer-key-file={pair.key}",
            f"--peer-trusted-ca-file={self._authority_file}",
            "--peer-client-cert-auth",
        ]

    def _apiserver(self) -> list[str]:
        layout = self._layout
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        addresses = [layout.node_address, layout.kubernetes_service_address, "127.0.0.1"]
        serving = self._authority.issue(
            "apiserver", Identity(user="kube-apiserver", names=[*names, "localhost"], addresses=addresses)
        )
        to_etcd = self._authority.issue("apiserver-etcd", Identity(user="kube-apiserver-etcd"))
        to_kubelet = self._authority.issue(
            "apiserver-kubelet", Identity(user="kube-apiserver-kubelet", groups=["system:masters"])
        )
        aggregator = self._front_proxy.issue("aggregator", Identity(user="front-proxy-client"))
        signing = signing_key(layout.certificates)
        return [
            *self._kubernetes("kube-apiserver"),
            f"--bind-address={layout.node_address}",
            f"--advertise-address={layout.node_address}",
            "--secure-port=6443",
            f"--etcd-servers=https://127.0.0.1:{ETCD_PORT}",
            f"--etcd-cafile={self._authority_file}",
            f"--etcd-certfile={to_etcd.certificate}",
            f"--etcd-keyfile={to_etcd.key}",
            f"--tls-cert-file={serving.certificate}",
            f"--tls-private-key-file={serving.key}",
            f"--client-ca-file={self._authority_file}",
            f"--kubelet-certificate-authority={self._authority_file}",
            f"--kubelet-client-certificate={to_kubelet.certificate}",
            f"--kubelet-client-key={to_kubelet.key}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={self._front_proxy.pair.certificate}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={aggregator.certificate}",
            f"--proxy-client-key-file={aggregator.key}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={signing}",
            f"--service-account-signing-key-file={signing}",
            f"--service-cluster-ip-range={layout.service_network}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
        ]

    def _controller_manager(self) -> list[str]:
        kubeconfig = self._kubeconfig("controller-manager", Identity(user="system:kube-controller-manager"))
        return [
            *self._kubernetes("kube-controller-manager"),
            "--bind-address=127.0.0.1",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            f"--requestheader-client-ca-file={self._front_proxy.pair.certificate}",
            f"--root-ca-file={self._authority_file}",
            f"--cluster-signing-cert-file={self._authority_file}",
            f"--cluster-signing-key-file={self._authority.pair.key}",
            f"--service-account-private-key-file={signing_key(self._layout.certificates)}",
            "--use-service-account-credentials",
            "--allocate-node-cidrs",
            f"--cluster-cidr={self._layout.pod_network}",
            f"--service-cluster-ip-range={self._layout.service_network}",
            "--leader-elect=false",
        ]

    def _scheduler(self) -> list[str]:
        kubeconfig = self._kubeconfig("scheduler", Identity(user="system:kube-scheduler"))
        return [
            *self._kubernetes("kube-scheduler"),
            "--bind-address=127.0.0.1",
            f"--kubeconfig={kubeconfig}",
            f"--authentication-kubeconfig={kubeconfig}",
            f"--authorization-kubeconfig={kubeconfig}",
            "--leader-elect=false",
        ]

    def _containerd(self) -> list[str]:
        config = configuration.write_containerd(self._layout)
        return [str(self._layout.binaries / "containerd"), f"--config={config}"]

    def _kubelet(self) -> list[str]:
        name = self._layout.control_group
        serving = self._authority.issue(
            "kubelet-serving", Identity(user=name, names=[name], addresses=[self._layout.node_address])
        )
        config = configuration.write_kubelet(self._layout, serving=serving, authority=self._authority.pair.certificate)
        kubeconfig = self._kubeconfig("kubelet", Identity(user=f"system:node:{name}", groups=["system:nodes"]))
        return [
            *self._kubernetes("kubelet"),
            f"--config={config}",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={name}",
            f"--node-ip={self._layout.node_address}",
        ]

    def _proxy(self) -> list[str]:
        kubeconfig = self._kubeconfig("kube-proxy", Identity(user="system:kube-proxy"))
        config = configuration.write_kube_proxy(self._layout, kubeconfig=kubeconfig)
        return [*self._kubernetes("kube-proxy"), f"--config={config}"]

    def _load_balancer(self) -> list[str]:
        kubeconfig = self._kubeconfig("load-balancer", Identity(user=LOAD_BALANCER_USER))
        script = Path(__file__).with_name("load_balancer.py")
        return [sys.executable, str(script), str(kubeconfig), self._layout.load_balancer_network]

    def _kubernetes(self, name: str) -> list[str]:
        return [str(self._layout.binaries / "kubernetes"), name]

    def _kubeconfig(self, name: str, identity: Identity) -> Path:
        return write_kubeconfig(
            self._layout.configuration / f"{name}.kubeconfig",
            server=self._layout.server,
            authority=self._authority.pair.certificate,
            user=identity.user,
            pair=self._authority.issue(name, identity),
        )


def write_administrator(layout: Layout) -> Path:
    """Write the kubeconfig of who made the node."""
    authority = Authority(name="cluster", folder=layout.certificates)
    identity = Identity(user="administrator", groups=["system:masters"])
    return write_kubeconfig(
        layout.kubeconfig,
        server=layout.server,
        authority=authority.pair.certificate,
        user=identity.user,
        pair=authority.issue("administrator", identity),
    )
