"""The end-to-end run in Standard mode: what it leaves out, its ways in, its own checks; and in another namespace."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from e2e.api_double import SERVICE, ApiDouble
from e2e.checks.gateway_rules import component
from e2e.checks.standard import pods_leave, rollout
from e2e.cluster import Cluster, ClusterError, Document
from e2e.elsewhere import moved
from e2e.gateway import Gateway
from e2e.modes import applicable
from e2e.run import CHECKS, run
from e2e.stage import CheckError, Limits, Stage
from e2e.test_e2e import BY_API, FAST, OF_STANDARD_MODE, Service, Told, grows
from e2e.ways_in import way_in
from support.programs import require

from manifests.render import choices, render

GATEWAYS = "/apis/gateway.networking.k8s.io/v1/namespaces/kserve/gateways/kserve-ingress-gateway"
ISTIO_GATEWAY = "/apis/networking.istio.io/v1/namespaces/istio-system/gateways/public"
ISTIO_SERVICE = "/api/v1/namespaces/istio-system/services/istio-ingressgateway"


@pytest.fixture
def service() -> Iterator[Service]:
    double = Service()
    yield double
    double.close()


@pytest.fixture(scope="module")
def rendered() -> Callable[[str], list[Document]]:
    require("kubectl", package="kubernetes-client")
    known: dict[str, list[Document]] = {}

    def documents(overlay: str) -> list[Document]:
        if overlay not in known:
            known[overlay] = [document for document in yaml.safe_load_all(render(overlay, [], {})) if document]
        return copy.deepcopy(known[overlay])

    return documents


Rendered = Callable[[str], list[Document]]


@pytest.fixture
def applied(api: ApiDouble, rendered: Rendered) -> None:
    """An InferenceService that is there."""
    (found,) = [document for document in rendered("standard") if document["kind"] == "InferenceService"]
    api.objects[SERVICE] = dict(found)
    api.pods = {"transformer": 2, "predictor": 2}


def stage(cluster: Cluster, service: Service, limits: Limits = FAST) -> Stage:
    gateway = Gateway(url=service.url, host="sentiment.example.com")
    return Stage(cluster=cluster, gateway=gateway, limits=limits, load=lambda _: 0, offered=(), at_rest={})


def test_what_does_not_apply_is_left_out_by_name_and_the_rest_passes(
    api: ApiDouble, cluster: Cluster, service: Service, rendered: Rendered
) -> None:
    told = Told()
    documents = rendered("standard")
    api.pods = {"transformer": 2, "predictor": 2}
    checks = {**BY_API, **OF_STANDARD_MODE}
    assert run(
        cluster, documents, gateway_url=service.url, checks=checks, limits=FAST, load=grows(api, to=3), say=told
    ), told.lines
    left_out = [line.split(",")[0] for line in told.lines if line.startswith("left out")]
    assert left_out == ["left out: canary", "left out: rollback", "left out: payload log"]
    names = ["admission", "answer and cache", "scale-out", "scale-down", "rollout", "pods leave"]
    assert [line[6:24].strip() for line in told.lines if line.startswith("ok")] == names
    assert service.hosts == {"sentiment.sentiment.example.com"}
    assert api.objects == {}


def test_rules_of_istios_gateway_are_left_out_where_a_route_leads_through_another(rendered: Rendered) -> None:
    told = Told()
    behind = {overlay: applicable(CHECKS, rendered(overlay), say=told) for overlay in ("standard", "standard-istio")}
    of_istio = ["sizes and rates", "api key", "jwt"]
    assert [name for name in behind["standard-istio"] if name not in behind["standard"]] == of_istio
    assert [line for line in told.lines if line.startswith("left out: jwt, since it is for Istio's")] != []


@pytest.mark.usefixtures("applied")
def test_what_a_check_adds_is_for_the_services_namespace(api: ApiDouble, tmp_path: Path, service: Service) -> None:
    cluster = Cluster(kubeconfig=api.kubeconfig(tmp_path), namespace="elsewhere", pause_s=0.01)
    kinds = {"PodMonitor", "PrometheusRule", "EnvoyFilter"}
    added = [
        document
        for name in ("monitoring-standard", "gateway-limits")
        for document in component(stage(cluster, service), name, kinds)
    ]
    homes = {document["kind"]: document["metadata"]["namespace"] for document in added}
    assert homes == {kind: "istio-system" if kind == "EnvoyFilter" else "elsewhere" for kind in kinds}
    assert r"sentiment(-transformer)?\\.elsewhere\\." in json.dumps(added)


@pytest.mark.usefixtures("applied")
def test_rollout_that_costs_requests_is_found(cluster: Cluster, service: Service) -> None:
    service.status = 503
    with pytest.raises(CheckError, match="requests failed"):
        rollout(stage(cluster, service))


@pytest.mark.usefixtures("applied")
def test_rollout_that_does_not_end_is_found(api: ApiDouble, cluster: Cluster, service: Service) -> None:
    api.rolls = False
    with pytest.raises(ClusterError, match="sentiment-predictor-"):
        rollout(stage(cluster, service, Limits(ready_s=0.2)))


@pytest.mark.usefixtures("applied")
def test_one_pod_of_each_is_deleted_while_another_is_there(api: ApiDouble, cluster: Cluster, service: Service) -> None:
    for part in ("transformer", "predictor"):
        api.objects[SERVICE]["spec"][part]["minReplicas"] = 1
    said = pods_leave(stage(cluster, service))
    assert said.endswith("none failed")
    assert ["transformer" in name for name in api.deleted] == [True, False]
    assert [api.objects[SERVICE]["spec"][part]["minReplicas"] for part in ("transformer", "predictor")] == [1, 1]


@pytest.mark.usefixtures("applied")
def test_requests_lost_with_a_pod_are_found_and_the_least_number_of_pods_is_put_back(
    api: ApiDouble, cluster: Cluster, service: Service
) -> None:
    api.objects[SERVICE]["spec"]["predictor"]["minReplicas"] = 1
    service.status = 502
    with pytest.raises(CheckError, match="502"):
        pods_leave(stage(cluster, service))
    assert api.objects[SERVICE]["spec"]["predictor"]["minReplicas"] == 1


def test_way_in_of_the_gateway_api_is_the_routes_gateway(api: ApiDouble, cluster: Cluster, rendered: Rendered) -> None:
    documents = rendered("standard")
    listeners = [{"protocol": "HTTPS", "port": 443}, {"protocol": "HTTP", "port": 8080}]
    api.objects[GATEWAYS] = {"spec": {"listeners": listeners}}
    with pytest.raises(ClusterError, match="kserve/kserve-ingress-gateway has no address"):
        way_in(cluster, documents, url=None)
    api.objects[GATEWAYS]["status"] = {"addresses": [{"value": "192.0.2.7"}]}
    found = way_in(cluster, documents, url=None)
    assert (found.url, found.host) == ("http://192.0.2.7:8080", "sentiment.sentiment.example.com")
    listeners.pop()
    with pytest.raises(ClusterError, match="no listener for HTTP"):
        way_in(cluster, documents, url=None)


@pytest.mark.parametrize("protocol", ["HTTP", "HTTPS"])
def test_way_in_of_istio_is_its_gateway_by_what_that_listens_for(
    api: ApiDouble, cluster: Cluster, rendered: Rendered, protocol: str
) -> None:
    api.objects[ISTIO_GATEWAY] = {"spec": {"servers": [{"port": {"protocol": protocol}}]}}
    api.objects[ISTIO_SERVICE] = {
        "kind": "Service",
        "metadata": {"name": "istio-ingressgateway"},
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}]}},
    }
    found = way_in(cluster, rendered("standard-istio"), url=None)
    assert (found.url, found.host) == (f"{protocol.lower()}://192.0.2.8", "sentiment.sentiment.example.com")


@pytest.mark.parametrize("overlay", choices("overlays"))
def test_moved_objects_speak_of_their_namespace_alone(rendered: Rendered, overlay: str) -> None:
    before = rendered(overlay)
    after = moved(before, "elsewhere")
    for old, new in zip(before, after, strict=True):
        home = old["metadata"].get("namespace", "")
        if old["kind"] == "Namespace":
            assert new["metadata"]["name"] == "elsewhere"
        elif home == "sentiment":
            assert (new["metadata"]["namespace"], new["metadata"]["name"]) == ("elsewhere", old["metadata"]["name"])
        else:
            assert new["metadata"]["namespace"] == home
            assert new["metadata"]["name"] == f"{old['metadata']['name']}-elsewhere"
    text = json.dumps(after)
    assert re.findall(r"[.\\]sentiment\b|namespace=\\*\"sentiment", text) == []
    assert moved(before, "sentiment") == before


def test_run_in_another_namespace_applies_and_looks_there(
    api: ApiDouble, tmp_path: Path, service: Service, rendered: Rendered
) -> None:
    cluster = Cluster(kubeconfig=api.kubeconfig(tmp_path), namespace="elsewhere", pause_s=0.01)
    told = Told()
    documents = moved(rendered("standard"), "elsewhere")
    run(cluster, documents, gateway_url=service.url, limits=Limits(ready_s=0.1), load=lambda _: 0, say=told)
    assert [line for line in api.log if "/namespaces/sentiment" in line] == []


def test_run_waits_for_the_namespace_of_one_before_it_to_go(
    api: ApiDouble, cluster: Cluster, service: Service, rendered: Rendered
) -> None:
    api.objects["/api/v1/namespaces/sentiment"] = {"kind": "Namespace", "status": {"phase": "Terminating"}}
    told = Told()
    limits = Limits(ready_s=0.1)
    assert not run(cluster, rendered("standard"), gateway_url=service.url, checks={}, limits=limits, say=told)
    assert any("namespace sentiment is still being removed" in line for line in told.lines), told.lines
    assert [line for line in api.log if line.startswith("PATCH")] == []
