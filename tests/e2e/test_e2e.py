"""The end-to-end run's own logic, against an API server and a gateway that answer as recorded."""

import base64
import copy
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from e2e.api_double import SERVICE, ApiDouble
from e2e.checks.admission import EXPECTED, combinations, everything_admitted
from e2e.checks.gateway_rules import applied
from e2e.cluster import Cluster, ClusterError, Document, in_order, path_of
from e2e.gateway import Gateway, Trickle
from e2e.modes import LEFT_OUT, NO_LOGGER
from e2e.run import CHECKS, for_one_node, run
from e2e.stage import CheckError, Combination, Limits, Stage
from support.certificates import certificate
from support.programs import require

from manifests.render import choices, render

OFFERED = f"{SERVICE}-offered"
FAST = Limits(ready_s=5, scale_out_s=5, scale_down_s=5)
# What an API that only answers can stand for; the others need pods, policies and proxies.
BY_API = {
    name: CHECKS[name] for name in ("admission", "answer and cache", "canary", "rollback", "scale-out", "scale-down")
}
OF_STANDARD_MODE = {name: CHECKS[name] for name in ("rollout", "payload log", "pods leave")}


class Service:
    """A gateway with the service behind it; ``status`` and ``caches`` say how it behaves."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.status = 200
        self.caches = True
        self.hosts: set[str] = set()
        self._known: set[str] = set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["text"]
                outer.hosts.add(self.headers["host"])
                known = outer.caches and set(texts) <= outer._known
                outer._known |= set(texts)
                best = [["NEGATIVE", "POSITIVE"] if "hate" in text else ["POSITIVE", "NEGATIVE"] for text in texts]
                said = {"predictions": [[{"label": label, "score": 0.5} for label in pair] for pair in best]}
                content = json.dumps(said).encode()
                self.send_response(outer.status)
                self.send_header("x-cache", "hit" if known else "miss")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service() -> Iterator[Service]:
    double = Service()
    yield double
    double.close()


@pytest.fixture(scope="module")
def rendered() -> list[Document]:
    require("kubectl", package="kubernetes-client")
    return [document for document in yaml.safe_load_all(render("dev", ["monitoring"], {})) if document]


@pytest.fixture
def documents(rendered: list[Document]) -> list[Document]:
    return copy.deepcopy(rendered)


def offers(cluster: Cluster, *offered: Combination) -> Stage:
    gateway = Gateway(url="http://127.0.0.1:9", host="x")
    return Stage(cluster=cluster, gateway=gateway, limits=FAST, load=lambda _: 0, offered=offered, at_rest={})


class Told:
    """Collects what the run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        self.lines.append(line)

    def failed(self) -> list[str]:
        return [line for line in self.lines if line.startswith("FAIL")]


def grows(api: ApiDouble, *, to: int) -> Callable[[Gateway], int]:
    """A load under which predictors come, and go when it is over."""

    def load(_: Gateway) -> int:
        api.pods["predictor"] = to
        time.sleep(1.5)
        threading.Timer(1.5, api.pods.update, [{"predictor": 1}]).start()
        return 0

    return load


def test_healthy_cluster_passes_every_check_and_is_left_as_found(
    api: ApiDouble, cluster: Cluster, service: Service, documents: list[Document]
) -> None:
    told = Told()
    checks = {**BY_API, **OF_STANDARD_MODE}
    assert run(
        cluster, documents, gateway_url=service.url, checks=checks, limits=FAST, load=grows(api, to=3), say=told
    ), told.lines
    assert [line[6:24].strip() for line in told.lines if line.startswith("ok")] == list(BY_API)
    left_out = {**LEFT_OUT["Knative"], "payload log": NO_LOGGER}
    assert {line for line in told.lines if line.startswith("left out")} == {
        f"left out: {name}, since {reason}" for name, reason in left_out.items()
    }
    assert service.hosts == {"sentiment.sentiment.example.com"}
    assert api.objects == {}


def test_namespace_comes_before_what_lives_in_it(api: ApiDouble, cluster: Cluster, documents: list[Document]) -> None:
    cluster.apply(documents)
    assert api.log[0] == "PATCH /api/v1/namespaces/sentiment"
    assert api.log.index(f"PATCH {SERVICE}") > api.log.index(
        "PATCH /api/v1/namespaces/sentiment/serviceaccounts/sentiment-predictor"
    )
    cluster.delete(documents)
    assert api.log[-1] == "DELETE /api/v1/namespaces/sentiment"


def test_service_that_never_gets_ready_fails_with_the_clusters_reason(
    api: ApiDouble, cluster: Cluster, service: Service, documents: list[Document]
) -> None:
    api.broken = True
    told = Told()
    limits = Limits(ready_s=0.3, scale_out_s=1, scale_down_s=1)
    assert not run(cluster, documents, gateway_url=service.url, checks=BY_API, limits=limits, say=told)
    assert "401 Unauthorized" in told.failed()[0]
    assert api.objects == {}


def test_cache_that_does_not_hit_is_found(
    api: ApiDouble, cluster: Cluster, service: Service, documents: list[Document]
) -> None:
    service.caches = False
    told = Told()
    assert not run(
        cluster, documents, gateway_url=service.url, checks=BY_API, limits=FAST, load=grows(api, to=3), say=told
    )
    assert ["answer and cache" in line for line in told.failed()] == [True]


def test_check_that_fails_is_tried_again_as_often_as_is_asked_for_and_each_try_is_told(
    cluster: Cluster, service: Service, documents: list[Document]
) -> None:
    asked: list[Stage] = []

    def second_time_lucky(stage: Stage) -> str:
        asked.append(stage)
        if len(asked) == 1:
            raise CheckError("the machine was busy")
        return "held"

    told = Told()
    checks = {"luck": second_time_lucky}
    assert run(cluster, documents, gateway_url=service.url, checks=checks, tries=2, limits=FAST, say=told), told.lines
    assert [line[:4] for line in told.lines if "luck" in line] == ["FAIL", "ok  "]
    assert run(cluster, documents, gateway_url=service.url, checks=checks, tries=2, limits=FAST, say=told)
    assert len(asked) == 3
    asked.clear()
    assert not run(cluster, documents, gateway_url=service.url, checks=checks, limits=FAST, say=told)


def test_canary_with_the_wrong_share_is_found(
    api: ApiDouble, cluster: Cluster, service: Service, documents: list[Document]
) -> None:
    api.canary_share = 50
    told = Told()
    assert not run(
        cluster, documents, gateway_url=service.url, checks=BY_API, limits=FAST, load=grows(api, to=3), say=told
    )
    assert "50" in told.failed()[0]


def test_load_that_brings_no_pods_is_found(
    api: ApiDouble, cluster: Cluster, service: Service, documents: list[Document]
) -> None:
    told = Told()
    assert not run(
        cluster, documents, gateway_url=service.url, checks=BY_API, limits=FAST, load=grows(api, to=1), say=told
    )
    assert "never more" in told.failed()[0]


def test_load_that_fails_its_thresholds_is_found(cluster: Cluster, service: Service, documents: list[Document]) -> None:
    told = Told()
    assert not run(cluster, documents, gateway_url=service.url, checks=BY_API, limits=FAST, load=lambda _: 99, say=told)
    assert "ended with 99" in told.failed()[0]


def test_requests_lost_while_pods_leave_are_found(
    api: ApiDouble, cluster: Cluster, service: Service, documents: list[Document]
) -> None:
    def load(_: Gateway) -> int:
        api.pods["predictor"] = 3
        time.sleep(1.2)
        service.status = 503
        threading.Timer(2.0, api.pods.update, [{"predictor": 1}]).start()
        return 0

    told = Told()
    assert not run(cluster, documents, gateway_url=service.url, checks=BY_API, limits=FAST, load=load, say=told)
    assert ["scale-down" in line and "503" in line for line in told.failed()] == [True]


def test_keep_leaves_everything(api: ApiDouble, cluster: Cluster, service: Service, documents: list[Document]) -> None:
    run(
        cluster,
        documents,
        gateway_url=service.url,
        checks=BY_API,
        keep=True,
        limits=FAST,
        load=grows(api, to=3),
        say=Told(),
    )
    assert SERVICE in api.objects


def test_pods_that_leave_or_start_do_not_count(cluster: Cluster, api: ApiDouble, documents: list[Document]) -> None:
    cluster.apply(documents)
    api.pods["predictor"] = 4
    api.leaving, api.starting = 1, 1
    assert cluster.ready_pods("predictor") == 2


def test_pods_of_a_revision_without_traffic_do_not_count(
    cluster: Cluster, api: ApiDouble, documents: list[Document]
) -> None:
    cluster.apply(documents)
    api.pods["predictor"] = 2
    api.left_over = 3
    assert cluster.ready_pods("predictor") == 2


def test_what_a_check_applies_goes_again_and_what_was_there_stays(api: ApiDouble, cluster: Cluster) -> None:
    def policy(name: str) -> Document:
        metadata = {"name": name, "namespace": "istio-system"}
        return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": metadata}

    installed, new = policy("installed"), policy("new")
    cluster.apply([installed])
    with applied(offers(cluster), [installed, new]):
        assert cluster.exists(installed)
        assert cluster.exists(new)
    assert cluster.exists(installed)
    assert not cluster.exists(new)


def test_one_node_changes_requests_targets_and_waits_alone(rendered: list[Document]) -> None:
    def service(documents: list[Document]) -> Document:
        return next(document for document in documents if document["kind"] == "InferenceService")

    changed, before = service(for_one_node(rendered)), copy.deepcopy(service(rendered))
    for component in ("transformer", "predictor"):
        spec, former = changed["spec"][component], before["spec"][component]
        assert spec["containers"][0]["resources"]["limits"] == former["containers"][0]["resources"]["limits"]
        assert spec["containers"][0]["resources"]["requests"].pop("cpu") == "40m"
        former["containers"][0]["resources"]["requests"].pop("cpu")
        for name in ("window", "scale-down-delay"):
            assert spec["annotations"].pop(f"autoscaling.knative.dev/{name}").endswith("s")
            former["annotations"].pop(f"autoscaling.knative.dev/{name}", None)
    assert changed["spec"]["predictor"].pop("scaleTarget") < before["spec"]["predictor"].pop("scaleTarget")
    assert changed == before


def test_gateway_without_an_address_is_said(cluster: Cluster, api: ApiDouble) -> None:
    path = "/api/v1/namespaces/istio-system/services/istio-ingressgateway"
    api.objects[path] = {
        "kind": "Service",
        "metadata": {"name": "istio-ingressgateway"},
        "status": {"loadBalancer": {}},
    }
    with pytest.raises(ClusterError, match="--gateway"):
        cluster.gateway_address()
    api.objects[path]["status"]["loadBalancer"] = {"ingress": [{"ip": "192.0.2.7"}]}
    assert cluster.gateway_address() == "192.0.2.7"


def test_every_combination_is_offered_and_none_kept(api: ApiDouble, cluster: Cluster) -> None:
    require("kubectl", package="kubernetes-client")
    said = everything_admitted(offers(cluster, ("local", ()), ("local", ("monitoring-azure",))))
    assert api.objects == {}
    assert f"PATCH {OFFERED}" in api.log
    assert said.endswith(
        "of 2 combinations admitted without a warning; not known here: azmonitoring.coreos.com, networking.k8s.io, "
        "policy, security.istio.io"
    )


@pytest.mark.parametrize("way", ["refused", "warned"])
def test_what_admission_says_of_an_object_is_found(api: ApiDouble, cluster: Cluster, way: str) -> None:
    require("kubectl", package="kubernetes-client")
    getattr(api, way)[OFFERED] = "no such thing"
    with pytest.raises(CheckError, match=f"^local: {OFFERED}: .*no such thing"):
        everything_admitted(offers(cluster, ("local", ())))


def test_a_warning_that_is_expected_is_no_objection(api: ApiDouble, cluster: Cluster) -> None:
    require("kubectl", package="kubernetes-client")
    api.warned[OFFERED] = f"configured AuthorizationPolicy {EXPECTED[0]}; it is recommended to name the port"
    assert "without a warning" in everything_admitted(offers(cluster, ("local", ())))


def test_every_overlay_and_every_component_is_offered() -> None:
    offered = list(combinations())
    assert {overlay for overlay, names in offered if not names} == set(choices("overlays"))
    assert {name for _, names in offered for name in names} == set(choices("components"))


def test_a_gateway_with_tls_is_trusted_by_its_authority_and_for_its_host_alone(tmp_path: Path) -> None:
    certificate_file, key_file = certificate(tmp_path, addresses=(), names=["sentiment.example.com"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate_file, key_file)
    service = Service(tls=tls)

    def status(host: str, authority: str | None) -> int:
        return Gateway(url=service.url, host=host, authority=authority).post(["a"]).status

    try:
        authority = certificate_file.read_text()
        assert status("sentiment.example.com", authority) == 200
        assert status("other.example.com", authority) == 0
        assert status("sentiment.example.com", None) == 0
    finally:
        service.close()


def test_the_gateways_authority_is_read_from_its_certificate(api: ApiDouble, cluster: Cluster) -> None:
    assert cluster.gateway_authority() is None
    path = "/api/v1/namespaces/istio-system/secrets/gateway-certificate"
    # Public authorities are on everybody's list; cert-manager leaves them out of the Secret.
    api.objects[path] = {"kind": "Secret", "data": {"tls.crt": ""}}
    assert cluster.gateway_authority() is None
    api.objects[path] = {"kind": "Secret", "data": {"ca.crt": base64.b64encode(b"PEM").decode()}}
    assert cluster.gateway_authority() == "PEM"


def test_nobody_at_the_gateway_is_a_failed_request() -> None:
    with Trickle(Gateway(url="http://127.0.0.1:9", host="x"), per_s=50) as trickle:
        time.sleep(0.3)
    assert trickle.failed == sum(trickle.statuses.values()) > 0


@pytest.mark.parametrize("overlay", choices("overlays"))
def test_every_object_has_a_path_that_the_api_knows(overlay: str) -> None:
    """Kubernetes's plurals are not English: each one used here is written down."""
    require("kubectl", package="kubernetes-client")
    plurals = {
        "Namespace": "namespaces", "ServiceAccount": "serviceaccounts", "ConfigMap": "configmaps",
        "Service": "services", "Deployment": "deployments", "PodDisruptionBudget": "poddisruptionbudgets",
        "NetworkPolicy": "networkpolicies", "InferenceService": "inferenceservices",
        "AuthorizationPolicy": "authorizationpolicies", "EnvoyFilter": "envoyfilters",
        "PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules", "HTTPRoute": "httproutes",
        "VirtualService": "virtualservices", "ServiceMonitor": "servicemonitors",
    }  # fmt: skip
    found = [document for document in yaml.safe_load_all(render(overlay, ["monitoring"], {})) if document]
    for document in in_order(found):
        assert path_of(document).split("/")[-2] == plurals[document["kind"]]
