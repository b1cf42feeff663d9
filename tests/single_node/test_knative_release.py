"""Knative's manifests keep everything but images nobody can pull, requests too large for the node, and net-istio."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from parts import knative_release

SERVING = """
kind: Deployment
metadata: {name: activator}
spec:
  template:
    spec:
      containers:
        - image: gcr.io/knative-releases/knative.dev/serving/cmd/activator@sha256:0123abcd
          resources: {requests: {cpu: 300m, memory: 60Mi}, limits: {cpu: 1000m}}
---
kind: ConfigMap
metadata: {name: config-deployment}
data:
  queue-sidecar-image: gcr.io/knative-releases/knative.dev/serving/cmd/queue@sha256:0123abcd
---
kind: HorizontalPodAutoscaler
metadata: {name: activator}
---
"""
NET_ISTIO = """
kind: Gateway
metadata: {name: knative-local-gateway}
---
kind: Deployment
metadata: {name: net-istio-controller}
spec: {template: {spec: {containers: [{image: other, resources: {requests: {cpu: 30m}}}]}}}
---
kind: ValidatingWebhookConfiguration
metadata: {name: config.webhook.istio.networking.internal.knative.dev}
"""
GATEWAY_API = """
kind: ConfigMap
metadata: {name: config-gateway}
data:
  _example: |
    # A comment.
    local-gateways: |
      - class: istio
"""
IMAGES = {program: f"here/{program}" for program in knative_release.PROGRAMS.values()}


@pytest.fixture
def carried(tmp_path: Path) -> dict[str, list[dict[str, Any]]]:
    data = tmp_path / "cmd" / "operator" / "kodata"
    for inside, text in {
        "knative-serving/1.21.1/2-serving-core.yaml": SERVING,
        "knative-serving/1.21.1/3-serving-hpa.yaml": SERVING,
        "ingress/1.21/istio/net-istio.yaml": NET_ISTIO,
    }.items():
        (data / inside).parent.mkdir(parents=True, exist_ok=True)
        (data / inside).write_text(text)
    files = knative_release.carried(tmp_path, version="1.21.1", images=IMAGES)
    return {path: list(yaml.safe_load_all(content)) for path, content in files.items()}


def test_images_are_this_nodes_in_pods_and_in_settings(carried: dict[str, list[dict[str, Any]]]) -> None:
    activator, settings = carried["knative-serving/1.21.1/2-serving-core.yaml"]
    assert activator["spec"]["template"]["spec"]["containers"][0]["image"] == "here/knative-activator"
    assert settings["data"]["queue-sidecar-image"] == "here/knative-queue"


def test_pods_ask_for_little_and_nothing_scales_by_what_they_ask(carried: dict[str, list[dict[str, Any]]]) -> None:
    documents = carried["knative-serving/1.21.1/2-serving-core.yaml"]
    container = documents[0]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"] == {
        "requests": {"cpu": knative_release.CPU_REQUEST, "memory": "60Mi"},
        "limits": {"cpu": "1000m"},
    }
    assert "HorizontalPodAutoscaler" not in {document["kind"] for document in documents}


def test_the_unused_class_of_autoscaler_is_not_carried(carried: dict[str, list[dict[str, Any]]]) -> None:
    assert not any("hpa" in path for path in carried)


def test_gateways_stay_and_net_istio_goes(carried: dict[str, list[dict[str, Any]]]) -> None:
    names = [document["metadata"]["name"] for document in carried["ingress/1.21/istio/net-istio.yaml"]]
    assert names == ["knative-local-gateway"]


def test_the_gateway_apis_controller_uses_the_gateways_of_its_own_example(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config-gateway.yaml").write_text(GATEWAY_API)
    text = knative_release.gateway_api_controller(tmp_path, images=IMAGES)
    assert yaml.safe_load(text)["data"] == {"local-gateways": "- class: istio\n"}
