"""Standard mode: KServe's rules for it, ways in that let only public paths through, autoscaling, the way down."""

import json

import kubernetes_validate
import promql_parser
import pytest
from manifests.network import Pod
from manifests.objects import COMPONENTS, Document, Render, component, container, of_kind, the
from manifests.sdk_schema import problems
from manifests.test_build import KUBERNETES, core
from manifests.test_security import GATEWAY, LOGGED, NEEDED, open_flows
from observability.catalogue import known_metrics, metrics_in
from prometheus_client import CollectorRegistry

from manifests.render import HERE, choices, parse_settings
from predictor.settings import Settings as PredictorSettings
from transformer.settings import Settings as TransformerSettings

OVERLAYS = ("standard", "standard-istio")
COMBINED = [("kind",), *((name,) for name in OVERLAYS), *((name, "keda") for name in OVERLAYS)]
ENVOY = Pod("envoy-gateway-system", {"gateway.envoyproxy.io/owning-gateway-name": "kserve-ingress-gateway"})
ANY_GATEWAY = Pod("kserve", {"gateway.networking.k8s.io/gateway-name": "kserve-ingress-gateway"})
OTHER_GATEWAY = Pod("kserve", {"gateway.networking.k8s.io/gateway-name": "another"})
NO_KNATIVE = {flow for flow in NEEDED if flow[0] not in {"gateway", "activator", "autoscaler"} and flow[1] != "gateway"}

each = pytest.mark.parametrize("name", OVERLAYS)
combined = pytest.mark.parametrize("names", COMBINED, ids="+".join)


def service(documents: list[Document]) -> Document:
    return the(documents, "InferenceService", "sentiment")


@combined
def test_fits_the_sdk_models_and_every_kubernetes(rendered: Render, names: tuple[str, ...]) -> None:
    documents = rendered(*names)
    assert problems(service(documents), "V1beta1InferenceService") == []
    for version in KUBERNETES:
        for document in core(documents):
            kubernetes_validate.validate(document, version, strict=True)


@each
def test_every_other_component_goes_along(rendered: Render, name: str) -> None:
    inner = {"model-download", "standard", "httproute", "virtual-service", "spread", "gateway-limits"}
    for other in sorted(set(choices("components")) - inner - {"mtls"}):
        documents = rendered(name, other)
        assert problems(service(documents), "V1beta1InferenceService") == [], other


@combined
def test_nothing_of_knative_is_left(rendered: Render, names: tuple[str, ...]) -> None:
    documents = rendered(*names)
    assert "knative" not in json.dumps(documents).replace("knative-serving", "")
    for part in COMPONENTS:
        # Without queue-proxy nobody would read them; `timeout` would be read by routes that KServe is told not to make.
        assert not {"containerConcurrency", "timeout"} & component(documents, part).keys()


def test_kind_has_no_way_in_but_port_forward(rendered: Render) -> None:
    documents = rendered("kind")
    # Pods are reached by the kubelet then; policies need not let anybody in.
    assert open_flows(documents) == NO_KNATIVE | {("transformer", "predictor", 8080, "TCP")}
    assert {document["apiVersion"] for document in documents} <= {
        "v1", "apps/v1", "networking.k8s.io/v1", "policy/v1", "serving.kserve.io/v1beta1",
    }  # fmt: skip


@each
def test_kserve_makes_no_route_of_its_own(rendered: Render, name: str) -> None:
    # Its routes pass every path on, and it would make one for the predictor too.
    assert service(rendered(name))["metadata"]["labels"] == {"networking.kserve.io/visibility": "cluster-local"}


@each
def test_autoscaler_of_kubernetes_is_told_what_kserves_webhook_takes(rendered: Render, name: str) -> None:
    documents = rendered(name)
    assert service(documents)["metadata"]["annotations"] == {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "hpa",
    }
    for part in COMPONENTS:
        spec = component(documents, part)
        assert spec["scaleMetric"] == "cpu"
        assert 1 <= spec["scaleTarget"] <= 100
        # The percentage is of the request: smaller ones would count the same work as more.
        resources = container(documents, part)["resources"]
        assert resources["requests"]["cpu"] == resources["limits"]["cpu"]


@each
def test_keda_asks_prometheus_for_metrics_that_exist(rendered: Render, name: str) -> None:
    documents = rendered(name, "keda")
    assert service(documents)["metadata"]["annotations"]["serving.kserve.io/autoscalerClass"] == "keda"
    queries = []
    for part in COMPONENTS:
        spec = component(documents, part)
        # The webhook refuses a scaleMetric beside KEDA.
        assert not {"scaleMetric", "scaleTarget"} & spec.keys()
        for metric in spec["autoScaling"]["metrics"]:
            if metric["type"] == "Resource":
                continue
            external = metric["external"]
            assert external["metric"]["backend"] == "prometheus"
            assert external["metric"]["serverAddress"] == "http://prometheus-operated.monitoring.svc:9090"
            # The webhook reads `value`, whatever the type.
            assert external["target"]["type"] == "Value"
            assert float(external["target"]["value"]) > 0
            queries.append(external["metric"]["query"])
    known = known_metrics(CollectorRegistry())
    for query in queries:
        promql_parser.parse(query)
        assert metrics_in(query) <= known, query
    assert {"transformer_in_flight", "predictor_queue_tokens"} <= set().union(*map(metrics_in, queries))


def test_keda_counts_a_queue_of_more_than_one_batch(rendered: Render) -> None:
    metrics = component(rendered("standard", "keda"), "predictor")["autoScaling"]["metrics"]
    (queued,) = [m["external"] for m in metrics if "predictor_queue_tokens" in m["external"]["metric"]["query"]]
    assert int(queued["target"]["value"]) == PredictorSettings().max_batch_tokens


def public_paths(documents: list[Document]) -> set[str]:
    """What components/istio lets through; /healthz is there for Knative's probes alone."""
    policy = the(documents, "AuthorizationPolicy", "sentiment-public-paths")
    return set(policy["spec"]["rules"][0]["to"][0]["operation"]["notPaths"]) - {"/healthz"}


def test_httproute_lets_exactly_the_public_paths_through_to_the_transformer(rendered: Render) -> None:
    spec = the(rendered("standard"), "HTTPRoute", "sentiment-public")["spec"]
    assert spec["hostnames"] == ["sentiment.sentiment.example.com"]
    (parent,) = spec["parentRefs"]
    assert (parent["namespace"], parent["name"]) == ("kserve", "kserve-ingress-gateway")
    (rule,) = spec["rules"]
    assert {match["path"]["type"] for match in rule["matches"]} == {"Exact"}
    assert {match["path"]["value"] for match in rule["matches"]} == public_paths(rendered("base", "istio"))
    # KServe's Service of a component has port 80, whatever the container's.
    assert rule["backendRefs"] == [{"name": "sentiment-transformer", "port": 80}]
    assert seconds(rule["timeouts"]["request"]) > longest_answer_s()


def test_virtual_service_lets_exactly_the_public_paths_through_to_the_transformer(rendered: Render) -> None:
    spec = the(rendered("standard-istio"), "VirtualService", "sentiment-public")["spec"]
    assert spec["hosts"] == ["sentiment.sentiment.example.com"]
    assert spec["gateways"] == ["istio-system/public"]
    (http,) = spec["http"]
    assert all(match["uri"].keys() == {"exact"} for match in http["match"])
    assert {match["uri"]["exact"] for match in http["match"]} == public_paths(rendered("base", "istio"))
    (route,) = http["route"]
    assert route["destination"]["host"] == "sentiment-transformer.sentiment.svc.cluster.local"
    assert seconds(http["timeout"]) > longest_answer_s()


def seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration[:-1])


def longest_answer_s() -> float:
    settings = TransformerSettings()
    return settings.receive_timeout_s + settings.predictor_timeout_s


def test_host_of_the_route_is_one_that_the_gateways_limits_know(rendered: Render) -> None:
    # components/gateway-limits, jwt and api-key name hosts by `sentiment.sentiment.`.
    settings = parse_settings((HERE / "settings" / "settings.env").read_text())
    assert settings["host"].startswith("sentiment.sentiment.")
    assert "sentiment-limits" in [one["metadata"]["name"] for one in of_kind(rendered("standard-istio"), "EnvoyFilter")]


@pytest.mark.parametrize(
    ("name", "gateways"),
    [("standard", {"any_gateway": ANY_GATEWAY, "envoy": ENVOY}), ("standard-istio", {"gateway": GATEWAY})],
)
def test_exactly_the_needed_connections_are_open(rendered: Render, name: str, gateways: dict[str, Pod]) -> None:
    also = {"any_gateway": ANY_GATEWAY, "envoy": ENVOY, "other_gateway": OTHER_GATEWAY}
    ways_in = {(gateway, "transformer", 8080, "TCP") for gateway in gateways}
    assert open_flows(rendered(name), also) == NO_KNATIVE | ways_in | {("transformer", "predictor", 8080, "TCP")}


def test_payload_logging_opens_the_agents_port_beside_the_servers(rendered: Render) -> None:
    also = {"any_gateway": ANY_GATEWAY, "other_gateway": OTHER_GATEWAY}
    before = open_flows(rendered("standard"), also)
    # KServe leads a component's Service to the agent; kubelet and Prometheus still ask the server.
    agents = {(source, target, 9081, "TCP") for source, target, port, _ in before if port == 8080 and target != "redis"}
    agents -= {(scraper, target, 9081, "TCP") for scraper in ("prometheus", "collector") for target in COMPONENTS}
    assert open_flows(rendered("standard", "payload-logging-standard"), also) == before | agents | LOGGED


@each
def test_grace_outlasts_the_way_down(rendered: Render, name: str) -> None:
    documents = rendered(name)
    drains_s = {
        "transformer": TransformerSettings().drain_s + TransformerSettings().predictor_timeout_s,
        "predictor": PredictorSettings().drain_s + PredictorSettings().deadline_s,
    }
    for part in COMPONENTS:
        stays_s = container(documents, part)["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert stays_s >= 5, "endpoints take seconds to reach every gateway"
        assert component(documents, part)["terminationGracePeriodSeconds"] > stays_s + drains_s[part]


@each
def test_rollout_never_has_fewer_pods_than_before(rendered: Render, name: str) -> None:
    for part in COMPONENTS:
        strategy = component(rendered(name), part)["deploymentStrategy"]
        assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@each
def test_service_port_has_a_name_that_says_its_protocol(rendered: Render, name: str) -> None:
    for part in COMPONENTS:
        assert container(rendered(name), part)["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]
