"""KServe's payload logger: off unless it is asked for, on both components, to the one sink of the settings."""

import pytest
import yaml
from manifests.objects import COMPONENTS, Document, Render, component, the
from manifests.sdk_schema import problems
from support.programs import require

from manifests.render import render


def test_no_text_leaves_unless_it_is_asked_for(every_overlay: list[Document]) -> None:
    for part in COMPONENTS:
        assert "logger" not in component(every_overlay, part)


@pytest.mark.parametrize(("base", "name"), [("base", "payload-logging"), ("standard", "payload-logging-standard")])
def test_both_components_log_to_the_sink_of_the_settings(base: str, name: str) -> None:
    require("kubectl", package="kubernetes-client")
    settings = {"log_sink": "http://sink.logs.svc/x", "log_sink_namespace": "logs"}
    documents = list(yaml.safe_load_all(render(base, [name], settings)))
    for part in COMPONENTS:
        assert component(documents, part)["logger"] == {"mode": "all", "url": "http://sink.logs.svc/x"}
    rule = the(documents, "NetworkPolicy", "agents-to-log-sink")["spec"]["egress"][0]
    assert rule["to"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "logs"}}}]


def test_loggers_fit_the_sdk_models(rendered: Render) -> None:
    service = the(rendered("base", "payload-logging"), "InferenceService", "sentiment")
    assert problems(service, "V1beta1InferenceService") == []
