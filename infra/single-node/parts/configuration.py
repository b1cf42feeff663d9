"""The files that the node's programs read: containerd's, the pod network's, kubelet's and kube-proxy's."""

import json
import re
from pathlib import Path
from typing import Any

import yaml
from parts.certificates import Pair
from parts.layout import Layout

PAUSE_IMAGE = "dev.local/pause:1"
PLUGIN_FOLDERS = (Path("/usr/lib/cni"), Path("/opt/cni/bin"))


def write_containerd(layout: Layout) -> Path:
    """Write containerd's configuration and the pod network's."""
    networks = layout.configuration / "networks"
    networks.mkdir(parents=True, exist_ok=True)
    network = {
        "cniVersion": "1.0.0",
        "name": "pods",
        # A route for each pod and no bridge: every packet passes the firewall's hooks, those between two pods as well.
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    # Gone after a restart, as are the pods that had the addresses.
                    "dataDir": "/run/cni/networks",
                    "ranges": [[{"subnet": layout.pod_network}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            }
        ],
    }
    (networks / "10-pods.conflist").write_text(json.dumps(network, indent=2))
    folders = ", ".join(f"'{folder}'" for folder in PLUGIN_FOLDERS)
    path = layout.configuration / "containerd.toml"
    path.write_text(f"""version = 3
root = '{layout.root}/containerd'
state = '/run/containerd'

[grpc]
  address = '{layout.containerd_socket}'

[plugins.'io.containerd.cri.v1.images']
  snapshotter = 'overlayfs'
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = '{PAUSE_IMAGE}'

[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = {"false" if may_raise_limits() else "true"}

[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = [{folders}]
  conf_dir = '{networks}'

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = 'io.containerd.runc.v2'
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    BinaryName = 'runc'
    SystemdCgroup = false
""")
    return path


def may_raise_limits() -> bool:
    """Tell whether this root may protect processes from the kernel's memory killer (CAP_SYS_RESOURCE)."""
    told = re.search(r"^CapEff:\t(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return told is not None and bool(int(told[1], 16) & 1 << 24)


def write_kubelet(layout: Layout, *, serving: Pair, authority: Path) -> Path:
    """Write kubelet's configuration."""
    return _write(
        layout.configuration / "kubelet.yaml",
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": layout.node_address,
            "healthzBindAddress": "127.0.0.1",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(authority)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(serving.certificate),
            "tlsPrivateKeyFile": str(serving.key),
            "clusterDNS": [layout.dns_address],
            "clusterDomain": "cluster.local",
            # Pods know the cluster's names only: nothing outside is to be reached from them.
            "resolvConf": "",
            "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{layout.control_group}",
            "failCgroupV1": False,
            "failSwapOn": False,
            # An image that went cannot be pulled again.
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "3%", "imagefs.available": "3%"},
        },
    )


def write_kube_proxy(layout: Layout, *, kubeconfig: Path) -> Path:
    """Write kube-proxy's configuration."""
    return _write(
        layout.configuration / "kube-proxy.yaml",
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "mode": "nftables",
            "clusterCIDR": layout.pod_network,
            "hostnameOverride": layout.control_group,
            # The machine's connection table is shared with everything else on it.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        },
    )


def _write(path: Path, document: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path
