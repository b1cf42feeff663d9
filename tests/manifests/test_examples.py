"""The examples and the runtime: KServe's and Kubernetes' schemas, and nobody's models taken over."""

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from manifests.network import Pod, allowed
from manifests.objects import Document, Render, of_kind, the
from manifests.pod_security import violations
from manifests.sdk_schema import problems
from manifests.test_build import KUBERNETES, core
from manifests.test_security import TRANSFORMER
from support.programs import require

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
HUGGINGFACE_PRIORITY = 1  # of KServe's own runtime for that format


def load(path: str) -> list[Document]:
    return [document for document in yaml.safe_load_all((EXAMPLES / path).read_text()) if document]


def kustomized(folder: str) -> list[Document]:
    command = [require("kubectl"), "kustomize", str(ROOT / folder)]
    built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [document for document in yaml.safe_load_all(built) if document]


@pytest.fixture(scope="module")
def runtime() -> Document:
    (only,) = kustomized("manifests/runtimes")
    return only


def test_runtime_fits_the_sdk_models_strictly(runtime: Document) -> None:
    assert problems(runtime, "V1alpha1ClusterServingRuntime") == []


def test_runtime_takes_no_models_from_others(runtime: Document) -> None:
    formats = {each["name"]: each for each in runtime["spec"]["supportedModelFormats"]}
    assert formats.keys() == {"sentiment-distilbert", "huggingface"}
    # KServe chooses among runtimes with autoSelect alone: for this format it never chooses this one.
    assert formats["huggingface"]["autoSelect"] is False
    assert "priority" not in formats["huggingface"]
    assert formats["sentiment-distilbert"]["autoSelect"] is True
    assert all(each["version"] for each in formats.values())


def test_runtime_serves_the_model_under_the_name_of_its_service(runtime: Document) -> None:
    (container,) = runtime["spec"]["containers"]
    assert "--model_name={{.Name}}" in container["args"]
    assert container["env"] == [{"name": "PREDICTOR_MODEL_DIR", "value": "/mnt/models"}]
    assert container["image"] == "dev.local/sentiment-predictor:0.1.0"


def test_runtimes_container_is_the_bases(runtime: Document, rendered: Render) -> None:
    (container,) = runtime["spec"]["containers"]
    base = the(rendered("base"), "InferenceService", "sentiment")["spec"]["predictor"]["containers"][0]
    for field in ("readinessProbe", "startupProbe", "livenessProbe", "securityContext", "resources", "volumeMounts"):
        assert container[field] == base[field], field
    assert violations({"containers": [container], "volumes": runtime["spec"]["volumes"]}) == []


def test_example_on_the_runtime_names_its_model_and_nothing_else() -> None:
    (service,) = load("runtime/inference-service.yaml")
    assert problems(service, "V1beta1InferenceService") == []
    model = service["spec"]["predictor"]["model"]
    assert model.keys() == {"modelFormat", "storageUri"}
    assert model["modelFormat"] == {"name": "sentiment-distilbert"}
    transformer = service["spec"]["transformer"]
    assert f"--model_name={service['metadata']['name']}" in transformer["containers"][0]["args"]
    assert violations(transformer) == []


def test_job_passes_the_restricted_level_and_reaches_the_transformer(rendered: Render) -> None:
    documents = kustomized("examples/batch")
    for document in core(documents):
        kubernetes_validate.validate(document, KUBERNETES[-1], strict=True)
    (job,) = of_kind(documents, "Job")
    pod = job["spec"]["template"]
    assert violations(pod["spec"]) == []
    source = Pod("sentiment", pod["metadata"]["labels"])
    policies = [*of_kind(rendered("standard"), "NetworkPolicy"), *of_kind(documents, "NetworkPolicy")]
    assert allowed(policies, source, TRANSFORMER, 8080)
    knative = [*of_kind(rendered("base"), "NetworkPolicy"), *of_kind(documents, "NetworkPolicy")]
    assert allowed(knative, source, Pod("istio-system", {"istio": "ingressgateway"}), 8081)
    (program,) = of_kind(documents, "ConfigMap")
    assert program["data"]["score.py"] == (EXAMPLES / "batch" / "score.py").read_text()
    assert pod["spec"]["volumes"][0]["configMap"]["name"] == program["metadata"]["name"]


@pytest.mark.parametrize("path", ["argocd/application.yaml", "flux/sentiment.yaml"])
def test_gitops_keeps_a_folder_that_kustomize_builds(path: str) -> None:
    folders = re.findall(r"path: (?:\./)?(manifests/\S+)", (EXAMPLES / path).read_text())
    assert folders
    for folder in folders:
        assert of_kind(kustomized(folder), "InferenceService")


def test_flux_reconciles_the_repository_that_it_fetches() -> None:
    repository, kustomization = load("flux/sentiment.yaml")
    source = kustomization["spec"]["sourceRef"]
    assert (source["kind"], source["name"]) == (repository["kind"], repository["metadata"]["name"])
    assert repository["metadata"]["namespace"] == kustomization["metadata"]["namespace"]


def subscribers(node: Any) -> list[dict[str, Any]]:
    """Give every reference to a Knative Service, wherever it stands."""
    if isinstance(node, dict):
        own = [node] if node.get("ref", {}).get("kind") == "Service" else []
        return own + [found for value in node.values() for found in subscribers(value)]
    return [found for value in node for found in subscribers(value)] if isinstance(node, list) else []


@pytest.mark.parametrize("path", ["eventing/trigger.yaml", "eventing/kafka-source.yaml"])
def test_events_go_to_a_public_path_of_the_transformer(rendered: Render, path: str) -> None:
    (subscriber,) = subscribers(load(path))
    assert subscriber["ref"]["name"] == "sentiment-transformer"
    policy = the(rendered("base", "istio"), "AuthorizationPolicy", "sentiment-public-paths")
    assert subscriber["uri"] in policy["spec"]["rules"][0]["to"][0]["operation"]["notPaths"]


def test_every_example_is_on_the_page() -> None:
    named = set(re.findall(r"`(\w+)/`", (EXAMPLES / "README.md").read_text()))
    assert {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()} == named
