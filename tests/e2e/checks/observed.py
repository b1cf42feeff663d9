"""What operators see: series that a Prometheus scraped by itself, traces across both pods."""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from e2e.checks.gateway_rules import applied, component
from e2e.stage import CheckError, Stage
from e2e.workloads import Workloads
from support.collector import spans_of

PROMETHEUS = "prometheus-operated:9090"
# One of each endpoint that the monitors name.
SERIES = (
    'transformer_texts_total{{namespace="{}",component="transformer"}}',
    'predictor_model_info{{namespace="{}",component="predictor"}}',
    'redis_up{{namespace="{}"}}',
)
OF_KNATIVE = (
    'kn_serving_invocation_duration_seconds_count{{namespace="{}",component="transformer"}}',
    'kn_serving_invocation_duration_seconds_count{{namespace="{}",component="predictor"}}',
    "certmanager_certificate_expiration_timestamp_seconds",
)


def metrics_scraped(stage: Stage) -> str:
    """Prometheus finds every pod by the monitors' selectors, and the rules are loaded and hold no error."""
    cluster, namespace = stage.cluster, stage.cluster.namespace
    knative = cluster.mode == "Knative"
    wanted = [series.format(namespace) for series in (*SERIES, *(OF_KNATIVE if knative else ()))]
    monitors = component(stage, "monitoring" if knative else "monitoring-standard", {"PodMonitor", "PrometheusRule"})
    own = [each for each in monitors if not cluster.exists(each)]
    with applied(stage, own):
        stage.gateway.post([f"seen by Prometheus {time.time_ns()}"])
        missing: list[str] = []
        rules: list[dict[str, Any]] = []

        def done() -> bool:
            missing[:] = [series for series in wanted if not _query(stage, f"{series} > 0")]
            groups = _prometheus(stage, "rules")["groups"]
            rules[:] = [rule for group in groups if "sentiment" in group["file"] for rule in group["rules"]]
            # One that has not been evaluated yet says nothing.
            return not missing and bool(rules) and all(rule["health"] != "unknown" for rule in rules)

        cluster.wait(
            done,
            timeout_s=240,
            what=lambda: f"Prometheus has {len(rules)} rules and lacks {', '.join(missing) or 'none'}",
        )
        down = [each["metric"] for each in _query(stage, f'up{{namespace="{namespace}"}} == 0') if _lives(stage, each)]
        if down:
            raise CheckError(f"not scraped: {down}")
        failing = [rule["name"] for rule in rules if rule["health"] == "err"]
        targets = _query(stage, f'up{{namespace="{namespace}"}} == 1')
    if failing:
        raise CheckError(f"of {len(rules)} rules these fail: {failing}")
    return f"{len(targets)} endpoints up, {len(wanted)} kinds of series, {len(rules)} rules without an error"


def _lives(stage: Stage, series: dict[str, Any]) -> bool:
    pods = {pod.metadata.name for name in ("transformer", "predictor") for pod in stage.cluster.pods(name)}
    return series["metric"].get("pod") in pods


def _query(stage: Stage, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = _prometheus(stage, "query", query=query)["result"]
    return found


def _prometheus(stage: Stage, what: str, **query: str) -> dict[str, Any]:
    path = f"/api/v1/namespaces/monitoring/services/{PROMETHEUS}/proxy/api/v1/{what}"
    found: dict[str, Any] = json.loads(stage.cluster.get(path, query))["data"]
    return found


# Prints each export on a line: what it says, the check reads.
_SINK = """
import base64, http.server

class Sink(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(base64.b64encode(self.rfile.read(int(self.headers["content-length"]))).decode(), flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *words):
        pass

http.server.ThreadingHTTPServer(("", 4318), Sink).serve_forever()
"""


def traces_cross_pods(stage: Stage) -> str:
    """With an exporter set, one request's trace holds spans of both pods, from the client's own on."""
    cluster, workloads = stage.cluster, Workloads(stage.cluster)
    trace, parent = f"{time.time_ns():032x}", "00f067aa0ba902b7"
    with workloads.namespace() as namespace:
        workloads.start(namespace, "sink", _SINK, port=4318)
        way_out = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "e2e-traces", "namespace": cluster.namespace},
            "spec": {
                "podSelector": {"matchLabels": {"serving.kserve.io/inferenceservice": cluster.name}},
                "policyTypes": ["Egress"],
                "egress": [
                    {
                        "to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}],
                        "ports": [{"protocol": "TCP", "port": 4318}],
                    }
                ],
            },
        }
        # An address, as the predictor may ask no DNS.
        address = cluster.core.read_namespaced_service("sink", namespace).spec.cluster_ip
        with applied(stage, [way_out]), _exporting(stage, f"http://{address}:4318"):
            reply = stage.gateway.post([f"traced {trace}"], {"traceparent": f"00-{trace}-{parent}-01"})
            if reply.status != 200:
                raise CheckError(f"answered {reply.status}")
            seen: set[str] = set()

            def done() -> bool:
                pod = cluster.core.read_namespaced_pod("sink", namespace)
                for line in workloads.logs(pod, "main").splitlines():
                    seen.update(span.service for span in spans_of(base64.b64decode(line)) if span.trace == trace)
                return len(seen) >= 2

            cluster.wait(done, timeout_s=60, what=lambda: f"spans of {seen or 'nobody'} only")
    return f"one trace over {' and '.join(sorted(seen))}"


@contextmanager
def _exporting(stage: Stage, endpoint: str) -> Iterator[None]:
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_SCHEDULE_DELAY": "500"}
    with ExitStack() as both:
        for name in ("transformer", "predictor"):
            operations = [
                {"op": "add", "path": f"/spec/{name}/containers/0/env/-", "value": {"name": key, "value": value}}
                for key, value in settings.items()
            ]
            both.enter_context(stage.cluster.changed(operations, component=name, timeout_s=stage.limits.ready_s))
        yield
