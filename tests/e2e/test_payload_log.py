"""The sink that payload logs are sent to on a cluster, as a process of its own here, and what is made of its words."""

import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator

import pytest
import yaml
from e2e.checks.payload_log import _PROGRAM, EVENTS, NAMESPACE, SETTINGS, _events, is_asked_for, sink
from support.programs import require

from local.ports import free_port
from manifests.render import render

ANSWER = '{"predictions": []}'
FOREIGN = {"component": "transformer", "kind": "request", "id": "other", "body": '{"text": ["another"]}'}
ALL = [
    {"component": "transformer", "kind": "request", "id": "1", "body": '{"text": ["marked"]}'},
    {"component": "predictor", "kind": "request", "id": "2", "body": '{"inputs": [{"data": ["marked"]}]}'},
    {"component": "predictor", "kind": "response", "id": "2", "body": '{"outputs": []}'},
    {"component": "transformer", "kind": "response", "id": "1", "body": ANSWER},
]


@pytest.fixture
def running() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    port = free_port()
    command = [sys.executable, "-c", _PROGRAM.replace("8080", str(port))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{port}", process
        process.kill()


def send(url: str, event: dict[str, str]) -> None:
    headers = {"ce-type": f"org.kubeflow.serving.inference.{event['kind']}", "ce-id": event["id"]}
    headers["ce-component"] = event["component"]
    request = urllib.request.Request(url, event["body"].encode(), headers)
    for _ in range(100):
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the sink does not listen")


def test_what_the_sink_writes_is_counted_for_the_marked_text_alone(
    running: tuple[str, "subprocess.Popen[str]"],
) -> None:
    url, process = running
    for event in [FOREIGN, *ALL]:
        send(url, event)
    assert process.stdout is not None
    written = "".join(process.stdout.readline() for _ in range(5))
    assert _events(written, "marked", ANSWER) == Counter(EVENTS)


def test_without_the_answer_that_the_client_got_nothing_counts() -> None:
    lines = [
        json.dumps({**event, "type": f"org.kubeflow.serving.inference.{event['kind']}"})
        for event in (*ALL[:3], FOREIGN)
    ]
    assert _events("\n".join(lines), "marked", ANSWER) == Counter()


def test_only_a_service_that_logs_to_this_sink_is_asked_for_it() -> None:
    require("kubectl", package="kubernetes-client")

    def rendered(settings: dict[str, str]) -> bool:
        return is_asked_for(list(yaml.safe_load_all(render("local", ["payload-logging"], settings))))

    assert rendered(SETTINGS)
    assert not rendered({})


def test_the_sink_is_where_the_settings_lead() -> None:
    _, service, pod = sink("example/python:1")
    assert service["metadata"]["namespace"] == pod["metadata"]["namespace"] == NAMESPACE
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    assert SETTINGS["log_sink"].split("//")[1] == f"sink.{NAMESPACE}.svc.cluster.local:8080"
