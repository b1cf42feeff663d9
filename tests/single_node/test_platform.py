"""Images, charts and Prometheus of the single node's platform, made of small stand-ins for the modules."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from parts import charts, go_modules, knative_release, monitoring, platform_images, storage_initializer
from parts.layout import Layout
from parts.versions import read_settings, read_versions
from support.processes import REPO
from support.programs import require

BUNDLE = """
kind: CustomResourceDefinition
metadata: {name: prometheuses.monitoring.coreos.com}
enum: [=]
---
kind: ServiceAccount
metadata: {name: prometheus-operator, namespace: default}
---
kind: ClusterRoleBinding
metadata: {name: prometheus-operator}
subjects: [{kind: ServiceAccount, name: prometheus-operator, namespace: default}]
---
kind: Deployment
metadata: {name: prometheus-operator, namespace: default}
spec:
  template:
    spec:
      containers:
        - image: quay.io/prometheus-operator/prometheus-operator:v0.90.1
          args: ["--prometheus-config-reloader=quay.io/prometheus-operator/prometheus-config-reloader:v0.90.1"]
          resources: {requests: {cpu: 100m}}
"""


def documents(text: str) -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def test_the_operator_lives_where_the_platform_monitors_with_this_nodes_images(tmp_path: Path) -> None:
    (tmp_path / "bundle.yaml").write_text(BUNDLE)
    text = monitoring.operator(tmp_path, images={name: f"here/{name}" for name in platform_images.MONITORING})
    definition, rest = text.split("\n---\n", 1)
    assert definition == BUNDLE.split("\n---\n", 1)[0]
    made = documents(rest)
    assert made["ServiceAccount"]["metadata"]["namespace"] == monitoring.NAMESPACE
    assert made["ClusterRoleBinding"]["subjects"][0]["namespace"] == monitoring.NAMESPACE
    container = made["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "here/prometheus-operator"
    assert container["args"] == ["--prometheus-config-reloader=here/prometheus-config-reloader"]


def test_prometheus_takes_monitors_and_rules_of_every_namespace() -> None:
    spec = documents(monitoring.objects(version="v3.10.0"))["Prometheus"]["spec"]
    for what in ("serviceMonitor", "podMonitor", "rule"):
        assert spec[f"{what}Selector"] == spec[f"{what}NamespaceSelector"] == {}
    assert spec["image"] == "dev.local/single-node/prometheus:v3.10.0"


def test_every_program_of_a_pod_has_an_image_of_this_node() -> None:
    names = platform_images.names(read_versions())
    assert {*knative_release.PROGRAMS.values(), *platform_images.MONITORING} <= set(names)
    assert len(set(names.values())) == len(names)
    assert all(name.startswith(f"{platform_images.REGISTRY}/{program}:") for program, name in names.items())


def test_knative_never_asks_the_registry_of_the_images() -> None:
    settings = read_settings(REPO / "infra" / "single-node" / "settings.env")
    assert platform_images.REGISTRY.startswith(f"{settings['REGISTRY']}/")


def test_a_program_that_is_not_compiled_is_named(tmp_path: Path) -> None:
    with pytest.raises(platform_images.MissingProgramError, match=r"^redis_exporter is not compiled yet"):
        platform_images._compiled(Layout(output=tmp_path), "redis_exporter")


def test_a_program_of_this_machine_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(platform_images.MissingProgramError, match=r"^redis-server is not on PATH"):
        platform_images.installed("redis-server")


def test_an_image_brings_the_loader_and_the_libraries_of_its_program() -> None:
    shell = platform_images.installed("sh")
    found = platform_images._libraries(shell)
    assert any("libc.so" in path for path in found)
    assert any(path.startswith("lib64/ld-") or "/ld-" in path for path in found)
    assert all(source.exists() and not path.startswith("/") for path, source in found.items())


def test_charts_lie_in_folders_of_their_own_with_the_nodes_values_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "module"
    for _, _, inside in charts.CHARTS.values():
        chart = module / inside
        (chart / "templates").mkdir(parents=True, exist_ok=True)
        (chart / "Chart.yaml").write_text("version: {{ version }}\n")
        chart.joinpath("Chart.yaml").chmod(0o444)
    monkeypatch.setattr(go_modules, "directory", lambda _group, _module: module)
    versions = read_versions()
    made = charts.prepare(tmp_path / "output", versions=versions)
    again = charts.prepare(tmp_path / "output", versions=versions)
    assert made == again
    assert {path.name for path in made.charts.iterdir()} == set(charts.CHARTS)
    assert (made.charts / "knative-operator" / "Chart.yaml").read_text() == "version: 0.0.0\n"
    assert versions["ISTIO_VERSION"] in (made.values / "istiod.yaml").read_text()
    changed = charts.prepare(tmp_path / "output", versions=versions | {"ISTIO_VERSION": "v1"})
    assert changed.digest != made.digest


def test_every_file_of_values_belongs_to_a_chart() -> None:
    assert {path.stem for path in charts.VALUES.glob("*.yaml")} <= set(charts.CHARTS)


def test_what_kserve_puts_into_pods_has_an_image_of_this_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = read_versions()
    values = yaml.safe_load((charts.VALUES / "kserve-resources.yaml").read_text())["kserve"]
    named = {part: f"{values[part]['image']}:{versions['KSERVE_VERSION']}" for part in ("agent", "storage")}
    assert all(values[part]["tag"] == "${KSERVE_VERSION}" for part in named)
    layout = Layout(output=tmp_path)
    (layout.binaries).mkdir(parents=True)
    monkeypatch.setattr(platform_images, "_compiled", lambda layout, program: layout.binaries / program)
    (agent,) = [image for image in platform_images._others(layout, versions) if image.name == named["agent"]]
    assert [Path(str(source)).name for source in agent.files.values()] == ["kserve-agent"]

    module = tmp_path / "module"
    (module / storage_initializer.ENTRY_POINT).parent.mkdir(parents=True)
    (module / storage_initializer.ENTRY_POINT).write_text("#!/usr/bin/env python3\n")
    monkeypatch.setattr(go_modules, "directory", lambda _group, _module: module)
    asked = tmp_path / "asked"
    builder = tmp_path / "builder"
    builder.write_text(f'#!/bin/sh\necho "$@" > {asked}\n')
    builder.chmod(0o755)
    context = tmp_path / "context"
    made = storage_initializer.build(f"{builder} build", base="here/python", context=context, versions=versions)
    assert made == named["storage"]
    assert (context / "initializer-entrypoint").read_text() == "#!/usr/bin/env python3\n"
    said = asked.read_text()
    assert f"--tag {made} " in said
    # The package and the controller are of one release.
    assert f"KSERVE_STORAGE_VERSION={versions['KSERVE_VERSION'].removeprefix('v')} " in said


def test_a_module_that_cannot_be_had_is_told_in_gos_words() -> None:
    require("go", package="golang")
    with pytest.raises(go_modules.ModuleError, match=r"example\.test/nothing"):
        go_modules.directory("redis-exporter", "example.test/nothing")
