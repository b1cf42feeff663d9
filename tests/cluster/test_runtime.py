"""A model of one's own on the runtime: fetched by KServe's storage initializer or mounted from a volume; only read."""

import functools
import http.server
import json
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from cluster.pods import Kubectl
from parts.layout import Layout
from support.processes import REPO

CHECKPOINTS = REPO / "model-artifacts"
MODEL = "distilbert-tiny-sst2"
READY_S = 180


@pytest.fixture
def runtime(layout: Layout) -> Iterator[None]:
    """The runtime, unless an administrator has offered it already."""
    everywhere = Kubectl(layout=layout)
    name = "clusterservingruntime/sentiment-distilbert"
    there = everywhere.tried("get", name).returncode == 0
    everywhere("apply", "--kustomize", str(REPO / "manifests" / "runtimes"))
    yield
    if not there:
        everywhere("delete", name)


@pytest.fixture
def archive(layout: Layout, tmp_path: Path) -> Iterator[str]:
    """Address of the model as an archive that this machine serves."""
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as written:
        for path in (CHECKPOINTS / MODEL).iterdir():
            written.write(path, path.name)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer((layout.host_address, 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{layout.host_address}:{server.server_address[1]}/model.zip"
        server.shutdown()


@pytest.fixture
def volume(layout: Layout, kubectl: Kubectl) -> Iterator[str]:
    """Address of the model on a volume, a folder of this machine."""
    name = f"models-{kubectl.namespace}"
    spec = {"accessModes": ["ReadOnlyMany"], "storageClassName": ""}
    kubectl.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": name},
            "spec": {
                **spec,
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": str(CHECKPOINTS), "type": "Directory"},
                "claimRef": {"namespace": kubectl.namespace, "name": "models"},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "models"},
            "spec": {**spec, "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}},
        },
    )
    yield f"pvc://models/{MODEL}"
    Kubectl(layout=layout)("delete", "--wait=false", f"persistentvolume/{name}")


def example(uri: str) -> dict[str, Any]:
    """The example, for a node of two CPUs that others use as well."""
    found: dict[str, Any] = yaml.safe_load((REPO / "examples" / "runtime" / "inference-service.yaml").read_text())
    predictor, transformer = found["spec"]["predictor"], found["spec"]["transformer"]
    predictor["model"]["storageUri"] = uri
    predictor["model"]["resources"] = {
        "requests": {"cpu": "100m", "memory": "512Mi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }
    transformer["containers"][0]["resources"]["requests"]["cpu"] = "50m"
    return found


def pod_of(kubectl: Kubectl, component: str) -> dict[str, Any]:
    (found,) = json.loads(kubectl("get", "pods", f"--selector=component={component}", "--output=json"))["items"]
    return dict(found)


def ask(url: str, texts: list[str]) -> list[Any]:
    """Post texts, again after the pause that a 503 names: the predictor's name may not yet be known everywhere."""
    limit_s = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, json.dumps({"text": texts}).encode(), timeout=60) as answer:
                found: list[Any] = json.load(answer)["predictions"]
                return found
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > limit_s:
                raise
            time.sleep(float(error.headers["retry-after"]))


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize(("source", "initializers"), [("archive", ["storage-initializer"]), ("volume", [])])
def test_who_names_a_models_address_and_nothing_else_is_served(
    kubectl: Kubectl, request: pytest.FixtureRequest, source: str, initializers: list[str]
) -> None:
    kubectl.apply(example(request.getfixturevalue(source)))
    kubectl("wait", "inferenceservice/reviews", "--for=condition=Ready", f"--timeout={READY_S}s")

    predictor = pod_of(kubectl, "predictor")
    # A volume is mounted as it is: there is nothing to fetch.
    assert [each["name"] for each in predictor["spec"].get("initContainers", ())] == initializers
    touched = kubectl.tried(
        "exec", predictor["metadata"]["name"], "-c", "kserve-container", "--", "touch", "/mnt/models/x"
    )
    assert "Read-only file system" in touched.stderr

    address = pod_of(kubectl, "transformer")["status"]["podIP"]
    best = [scores[0]["label"] for scores in ask(f"http://{address}:8080/predict", ["I hate you.", "I love you."])]
    assert best == ["NEGATIVE", "POSITIVE"]
