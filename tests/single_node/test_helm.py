"""Helm, as the platform's script calls it, takes charts from folders and the node's values last."""

from pathlib import Path

import pytest
from infra.stubs import Stubs
from support.processes import REPO

SHIM = REPO / "infra" / "single-node" / "helm" / "helm"
CALL = (
    *("upgrade", "--install", "istiod", "istiod", "--namespace", "istio-system", "--repo", "https://charts.test"),
    *("--version", "1.2.3", "--values", "-", "--wait"),
)


@pytest.fixture
def helm(tmp_path: Path) -> Stubs:
    (tmp_path / "charts" / "istiod").mkdir(parents=True)
    (tmp_path / "values").mkdir()
    return Stubs(folder=tmp_path / "stubs", names=("helm",))


def call(helm: Stubs, folder: Path, *words: str) -> str:
    done = helm.run(
        SHIM,
        *words,
        stdin="a: 1",
        SINGLE_NODE_HELM=str(helm.bin / "helm"),
        SINGLE_NODE_CHARTS=str(folder / "charts"),
        SINGLE_NODE_VALUES=str(folder / "values"),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_release_comes_from_its_folder_without_repository_and_version(helm: Stubs, tmp_path: Path) -> None:
    call(helm, tmp_path, *CALL)
    chart = tmp_path / "charts" / "istiod"
    expected = f"helm upgrade --install istiod {chart} --namespace istio-system --values - --wait"
    assert helm.calls() == [expected]


def test_the_nodes_values_come_last_and_win(helm: Stubs, tmp_path: Path) -> None:
    values = tmp_path / "values" / "istiod.yaml"
    values.write_text("b: 2")
    call(helm, tmp_path, *CALL)
    assert helm.calls()[0].endswith(f"--values - --wait --values {values}")


def test_a_release_without_a_chart_is_left_out_and_said_so(helm: Stubs, tmp_path: Path) -> None:
    said = call(helm, tmp_path, "upgrade", "--install", "istio-cni", "cni", "--version", "1")
    assert "istio-cni is left out" in said
    assert helm.calls() == []


def test_everything_else_reaches_helm_as_it_is(helm: Stubs, tmp_path: Path) -> None:
    call(helm, tmp_path, "history", "istiod", "--namespace", "istio-system")
    assert helm.calls() == ["helm history istiod --namespace istio-system"]
