"""From nothing to a prediction on kind: the script's order, its versions, and that it can be repeated."""

import re
from pathlib import Path

import pytest
from infra.stubs import Stubs
from support.processes import REPO

SCRIPT = REPO / "infra" / "kind.sh"
NOT_THERE = ("*get crd*", "*get secret*")


@pytest.fixture
def machine(tmp_path: Path) -> Stubs:
    stubs = Stubs(folder=tmp_path, names=("kind", "kubectl", "curl", "openssl", "docker", "make"))
    for pattern in NOT_THERE:
        stubs.answer(f"kubectl {pattern}", status=1)
    stubs.answer("openssl *", "0123\n")
    return stubs


def kserve_version() -> str:
    text = (REPO / "infra" / "platform" / "versions.env").read_text()
    found = re.search(r"^KSERVE_VERSION=(\S+)$", text, re.MULTILINE)
    assert found
    return found[1]


def test_up_goes_from_nothing_to_a_prediction(machine: Stubs) -> None:
    done = machine.run(SCRIPT, "up")
    assert done.returncode == 0, done.stderr
    steps = (
        "kind create cluster --name sentiment",
        "kubectl config use-context kind-sentiment",
        "curl",
        "make images",
        "kind load docker-image --name sentiment dev.local/sentiment-transformer:0.1.0 dev.local/sentiment-predictor",
        "kubectl --context kind-sentiment apply -k manifests/overlays/kind",
        "kubectl --context kind-sentiment --namespace sentiment create secret generic sentiment-cache",
        "kubectl --context kind-sentiment --namespace sentiment wait inferenceservice/sentiment",
        "kubectl --context kind-sentiment --namespace sentiment exec deployment/sentiment-transformer",
    )
    calls = machine.calls()
    places = [next(i for i, call in enumerate(calls) if call.startswith(step)) for step in steps]
    assert places == sorted(places)


def test_kserve_is_the_version_that_the_project_is_made_for(machine: Stubs) -> None:
    machine.run(SCRIPT, "up")
    (fetched,) = machine.calls("curl")
    assert f"https://github.com/kserve/kserve/releases/download/{kserve_version()}/" in fetched


def test_second_run_leaves_what_is_there(machine: Stubs) -> None:
    machine.answer("kind get clusters", "sentiment\n")
    for pattern in NOT_THERE:
        machine.answer(f"kubectl {pattern}", "there")
    assert machine.run(SCRIPT, "up").returncode == 0
    assert machine.calls("kind create", "curl") == []
    assert not [call for call in machine.calls("kubectl") if "create secret" in call]


def test_missing_program_is_named_before_anything_is_made(machine: Stubs) -> None:
    machine.remove("docker")
    done = machine.run(SCRIPT, "up")
    assert (done.returncode, done.stderr) == (1, "kind: docker is not installed\n")
    assert machine.calls() == []


def test_service_that_never_becomes_ready_is_said_with_where_to_look(machine: Stubs) -> None:
    machine.answer("kubectl * wait *", status=1)
    done = machine.run(SCRIPT, "up")
    assert done.returncode == 1
    assert "the service did not become ready: kubectl --context kind-sentiment" in done.stderr
    assert not [call for call in machine.calls() if " exec " in call]


def test_down_removes_its_own_cluster(machine: Stubs) -> None:
    assert machine.run(SCRIPT, "down").returncode == 0
    assert machine.calls() == ["kind delete cluster --name sentiment"]


def test_page_shows_what_the_script_does() -> None:
    page = (REPO / "manifests" / "README.md").read_text()
    section = page.partition("## On kind")[2].partition("\n## ")[0]
    assert f"/{kserve_version()}/" in section
    (install,) = re.findall(r"https://\S+\.sh", section)
    script = SCRIPT.read_text().replace("$KSERVE_VERSION", kserve_version())
    assert install in script
    for command in ("kind create cluster --name sentiment", "kubectl apply -k manifests/overlays/kind"):
        assert command in section
