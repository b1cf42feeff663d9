"""Compiles the programs of the single node out of Go modules into ``build/single-node/bin``: ``build.py [group ...]``.

A group is a folder of ``components`` with a ``go.mod`` of its own. What is up to date is left alone; Go's cache makes
the rest short after the first time. Binaries are static, so an image of one needs nothing else.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from parts.layout import Layout
from parts.versions import read_versions

COMPONENTS = Path(__file__).resolve().parent / "components"
CONTAINERD = "github.com/containerd/containerd/v2"
PROMETHEUS_OPERATOR = "github.com/prometheus-operator/prometheus-operator"
KNATIVE_SERVING = ("controller", "webhook", "activator", "autoscaler", "queue")

# Group to binaries, each with the package that it is built from.
GROUPS: Mapping[str, Mapping[str, str]] = {
    "etcd": {"etcd": "go.etcd.io/etcd/server/v3"},
    "containerd": {
        "containerd": f"{CONTAINERD}/cmd/containerd",
        "containerd-shim-runc-v2": f"{CONTAINERD}/cmd/containerd-shim-runc-v2",
        "ctr": f"{CONTAINERD}/cmd/ctr",
    },
    "kubernetes": {"kubernetes": ".", "pause": "./pause"},
    "coredns": {"coredns": "."},
    "network-policies": {"kube-network-policies": "sigs.k8s.io/kube-network-policies/cmd"},
    "metrics-server": {"metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server"},
    # One module graph for all that KServe's own go.mod ties together: what they share is compiled once.
    "serving": {
        "kserve-manager": "github.com/kserve/kserve/cmd/manager",
        "kserve-agent": "github.com/kserve/kserve/cmd/agent",
        **{f"knative-{name}": f"knative.dev/serving/cmd/{name}" for name in KNATIVE_SERVING},
        "knative-migrate": "knative.dev/pkg/apiextensions/storageversion/cmd/migrate",
        "knative-cleanup": "knative.dev/serving/pkg/cleanup/cmd/cleanup",
        "knative-operator": "knative.dev/operator/cmd/operator",
        "knative-operator-webhook": "knative.dev/operator/cmd/webhook",
        "kube-rbac-proxy": "github.com/brancz/kube-rbac-proxy/cmd/kube-rbac-proxy",
        "helm": "helm.sh/helm/v3/cmd/helm",
    },
    "net-gateway-api": {
        "net-gateway-api-controller": "knative.dev/net-gateway-api/cmd/controller",
        "net-gateway-api-webhook": "knative.dev/net-gateway-api/cmd/webhook",
    },
    # And one for the two that use the same Kubernetes client.
    "istio": {
        "pilot-discovery": "istio.io/istio/pilot/cmd/pilot-discovery",
        "pilot-agent": "istio.io/istio/pilot/cmd/pilot-agent",
        "prometheus-operator": f"{PROMETHEUS_OPERATOR}/cmd/operator",
        "prometheus-config-reloader": f"{PROMETHEUS_OPERATOR}/cmd/prometheus-config-reloader",
    },
    "prometheus": {"prometheus": "github.com/prometheus/prometheus/cmd/prometheus"},
    "cert-manager": {"cert-manager": "."},
    "redis-exporter": {"redis_exporter": "github.com/oliver006/redis_exporter"},
}

# Tags of a group's build: Prometheus without the dozens of clouds that it can find targets in.
TAGS: Mapping[str, str] = {"prometheus": "remove_all_sd,enable_kubernetes_sd"}

# What a release's own build would say, so that a binary knows its version: group to variables of the linker.
STAMPS: Mapping[str, Mapping[str, str]] = {
    "kubernetes": {
        f"k8s.io/{package}/version.{variable}": value
        for package in ("component-base", "client-go/pkg")
        for variable, value in (
            ("gitVersion", "{KUBERNETES_VERSION}"),
            ("gitMajor", "{KUBERNETES_MAJOR}"),
            ("gitMinor", "{KUBERNETES_MINOR}"),
            ("gitTreeState", "clean"),
        )
    },
    "containerd": {f"{CONTAINERD}/version.Version": "{CONTAINERD_VERSION}"},
}


class BuildError(Exception):
    """The programs cannot be compiled."""


def find_go(minimum: str, *, path: str | None = None) -> str:
    """Give Go's path; raises BuildError when it is missing or older than ``minimum``."""
    go = shutil.which("go", path=path)
    if go is None:
        raise BuildError(f"Go {minimum} or newer is needed to compile the cluster, and `go` is not on PATH")
    told = subprocess.run([go, "env", "GOVERSION"], cwd="/", capture_output=True, text=True, check=False).stdout.strip()
    found = told.removeprefix("go").split("-", 1)[0]
    if not found or [int(part) for part in found.split(".")[:2]] < [int(part) for part in minimum.split(".")]:
        raise BuildError(f"Go {minimum} or newer is needed to compile the cluster; {go} says {told or 'nothing'}")
    return go


def linker_flags(group: str, versions: Mapping[str, str]) -> str:
    """Give ``-ldflags`` of a group."""
    stamps = STAMPS.get(group, {})
    major, minor, _ = versions["KUBERNETES_VERSION"].removeprefix("v").split(".")
    values = {**versions, "KUBERNETES_MAJOR": major, "KUBERNETES_MINOR": minor}
    return " ".join(["-s -w", *(f"-X {name}={value.format(**values)}" for name, value in stamps.items())])


def fingerprint(group: str, package: str, flags: str, go_version: str) -> str:
    """Digest everything that a binary is made from."""
    digest = hashlib.sha256(f"{package}\n{flags}\n{go_version}\n".encode())
    for source in sorted((COMPONENTS / group).rglob("*")):
        if source.is_file():
            digest.update(f"{source.relative_to(COMPONENTS)}\n".encode() + source.read_bytes())
    return digest.hexdigest()


def build(groups: Iterable[str], *, binaries: Path) -> None:
    """Compile what is missing or out of date; raises BuildError with one sentence."""
    versions = read_versions()
    go = find_go(versions["GO_MINIMUM_VERSION"])
    go_version = subprocess.run([go, "version"], capture_output=True, text=True, check=True).stdout
    binaries.mkdir(parents=True, exist_ok=True)
    for group in groups:
        flags = linker_flags(group, versions)
        for name, package in GROUPS[group].items():
            stamp = binaries / f".{name}.made-from"
            made_from = fingerprint(group, package, flags, go_version)
            if (binaries / name).exists() and stamp.exists() and stamp.read_text() == made_from:
                print(f"build: {name} is up to date", flush=True)
                continue
            began_s = time.monotonic()
            print(f"build: {name} of {group} ...", flush=True)
            compile_one(go, COMPONENTS / group, package, flags, binaries / name, tags=TAGS.get(group, ""))
            stamp.write_text(made_from)
            size_mib = (binaries / name).stat().st_size / 2**20
            print(f"build: {name} took {time.monotonic() - began_s:.0f} s, {size_mib:.0f} MiB", flush=True)


def compile_one(go: str, folder: Path, package: str, flags: str, target: Path, *, tags: str = "") -> None:
    """Compile one binary; it takes its place only when it is whole."""
    fresh = target.with_name(f".{target.name}.new")
    # Politely: a first build keeps two cores busy for half an hour.
    command = ["nice", "-n", "10", go, "build", "-p", "2", "-trimpath", f"-tags={tags}", "-ldflags", flags]
    command += ["-o", str(fresh), package]
    # -mod=readonly is Go's own default: a go.sum that lacks a line is an error, never a silent change.
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
    if subprocess.run(command, cwd=folder, env=environment, check=False).returncode:
        raise BuildError(f"{target.name}: `go build {package}` in {folder} failed; its words are above")
    fresh.replace(target)


def give_way() -> None:
    """Take only the processors that nobody else on this machine wants.

    Where the kernel shares time by session before it looks at processes, as Debian's does, a nice process in a session
    that others work in slows those down all the same: this one gets a session of its own, and its place is the last.
    """
    os.nice(19)
    share = Path("/proc/self/autogroup")
    # The first process of a group, as a shell that a person types into makes it, has to stay in its session.
    if os.getpgrp() != os.getpid() and share.exists():
        os.setsid()
        share.write_text("19")


def main() -> int:
    """Build the groups that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("group", nargs="*", help=f"of {', '.join(GROUPS)}; default: all")
    parser.add_argument("--give-way", action="store_true", help="compile with what others leave of the processors")
    options = parser.parse_args()
    groups = options.group or list(GROUPS)
    if options.give_way:
        give_way()
    unknown = sorted(set(groups) - set(GROUPS))
    if unknown:
        parser.error(f"no group {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    try:
        build(groups, binaries=Layout().binaries)
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
