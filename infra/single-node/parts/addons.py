"""What runs in the cluster for the cluster: DNS, the enforcer of NetworkPolicies, metrics."""

import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template

import images
from parts.configuration import PAUSE_IMAGE
from parts.layout import Layout
from parts.versions import read_versions

FOLDER = Path(__file__).resolve().parents[1] / "addons"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of one static program."""

    name: str
    binary: str
    user: str


def made_of(versions: Mapping[str, str]) -> list[Image]:
    """Give the images that are made here."""
    return [
        Image(name=PAUSE_IMAGE, binary="pause", user="65535:65535"),
        Image(name=f"dev.local/coredns:{versions['COREDNS_VERSION']}", binary="coredns", user="65532:65532"),
        Image(
            name=f"dev.local/kube-network-policies:{versions['KUBE_NETWORK_POLICIES_VERSION']}",
            binary="kube-network-policies",
            user="0:0",
        ),
        Image(
            name=f"dev.local/metrics-server:{versions['METRICS_SERVER_VERSION']}",
            binary="metrics-server",
            user="65532:65532",
        ),
    ]


def binaries() -> list[str]:
    """Give the programs that they are made of."""
    return [image.binary for image in made_of(read_versions())]


def load_images(layout: Layout) -> None:
    """Write the images whose programs are newer, and import what the node lacks."""
    folder = layout.output / "images"
    has = set(images.list_images(layout=layout))
    for image in made_of(read_versions()):
        binary, archive = layout.binaries / image.binary, folder / f"{image.binary}.tar"
        fresh = not archive.exists() or archive.stat().st_mtime < binary.stat().st_mtime
        if fresh:
            images.write_image(
                archive, image.name, files={image.binary: binary}, entrypoint=[f"/{image.binary}"], user=image.user
            )
        if fresh or image.name not in has:
            images.import_images([archive], layout=layout)


def objects(layout: Layout) -> str:
    """Give the YAML of all of them, with this node's addresses and versions."""
    values = {
        **read_versions(),
        "dns_address": layout.dns_address,
        "node_name": layout.control_group,
        "node_address": layout.node_address,
    }
    return "---\n".join(Template(path.read_text()).substitute(values) for path in sorted(FOLDER.glob("*.yaml")))


def apply(layout: Layout) -> None:
    """Apply them."""
    kubectl(layout, ["apply", "--server-side", "--force-conflicts", "--filename=-"], given=objects(layout))


def kubectl(layout: Layout, words: Iterable[str], *, given: str | None = None) -> str:
    """Run kubectl of this node's version as its administrator; raises CalledProcessError."""
    command = [str(layout.binaries / "kubernetes"), "kubectl", f"--kubeconfig={layout.kubeconfig}", *words]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout
