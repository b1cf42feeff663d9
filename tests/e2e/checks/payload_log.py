"""Payload logging on a cluster: a sink that writes what it is sent, and whether both components send to it."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from e2e.cluster import ClusterError, Document
from e2e.stage import CheckError, Stage
from e2e.workloads import Workloads

NAMESPACE = "sentiment-log-sink"
URL = f"http://sink.{NAMESPACE}.svc.cluster.local:8080"
SETTINGS = {"log_sink": URL, "log_sink_namespace": NAMESPACE}
# Of each component one for the request and one for the answer.
EVENTS = {(component, kind): 1 for component in ("transformer", "predictor") for kind in ("request", "response")}
_SINK = "app=sink"
_TYPE = "org.kubeflow.serving.inference."
_PROGRAM = """
import http.server, json, sys
class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        said = {name: self.headers[f"ce-{name}"] for name in ("type", "component", "id")}
        sys.stdout.write(json.dumps({**said, "body": body}) + "\\n")
        sys.stdout.flush()
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8080), Sink).serve_forever()
"""


def is_asked_for(documents: Sequence[Document]) -> bool:
    """Say whether the InferenceService logs to the sink here."""
    return any(
        document["kind"] == "InferenceService" and document["spec"]["transformer"].get("logger", {}).get("url") == URL
        for document in documents
    )


def sink(image: str) -> list[Document]:
    """Give the objects of a sink that runs on any image with a Python."""
    container = {
        "name": "sink",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", _PROGRAM],
        "ports": [{"containerPort": 8080}],
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
    }
    metadata = {"name": "sink", "namespace": NAMESPACE}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": "sink"}, "ports": [{"port": 8080}]},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata | {"labels": {"app": "sink"}},
            "spec": {
                "containers": [container],
                "enableServiceLinks": False,
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
            },
        },
    ]


def payload_log(stage: Stage, *, timeout_s: float = 60) -> str:
    """A new text and its answer reach the sink from both components, once each."""
    cluster, workloads = stage.cluster, Workloads(stage.cluster)
    image = cluster.service()["spec"]["transformer"]["containers"][0]["image"]
    made = sink(image)
    cluster.apply(made)
    try:
        cluster.wait(lambda: bool(workloads.pods(NAMESPACE, _SINK)), timeout_s=timeout_s, what=lambda: "no sink")
        (pod,) = workloads.pods(NAMESPACE, _SINK)
        found: Counter[tuple[str, str]] = Counter()

        def complete() -> bool:
            # A new text for each look: agents do not send again what found no sink, and names take a while to be known.
            nonlocal found
            text = f"a text that is logged {time.time_ns()}"
            reply = stage.gateway.post([text])
            if reply.status != 200:
                raise CheckError(f"answered {reply.status}")
            time.sleep(1)
            found = _events(workloads.logs(pod, "sink"), text, reply.body.decode())
            return found.keys() == EVENTS.keys()

        try:
            cluster.wait(complete, timeout_s=timeout_s, what=lambda: f"the sink got {dict(found)}")
        except ClusterError as error:
            raise CheckError(str(error)) from None
        if found != EVENTS:
            raise CheckError(f"more than one event of a kind: {dict(found)}")
    finally:
        cluster.delete(made)
    return "one request and one answer of each component"


def _events(log: str, text: str, answer: str) -> Counter[tuple[str, str]]:
    """Count the events of one request by component and kind: those that hold its text, and the answers to them."""
    events: list[dict[str, Any]] = [json.loads(line) for line in log.splitlines()]
    own = {event["id"] for event in events if text in event["body"]}
    kinds = [(event["component"], event["type"].removeprefix(_TYPE)) for event in events if event["id"] in own]
    return Counter(kinds) if any(event["body"] == answer for event in events) else Counter()
