"""What the Istio gateway lets through to the service, and that other hosts never notice."""

import re
from typing import Any

import pytest

# Imported to be known: a message inside an Any is parsed by its type's name.
from envoy.extensions.common.matching.v3 import extension_matcher_pb2  # noqa: F401
from envoy.extensions.filters.common.matcher.action.v3 import skip_action_pb2  # noqa: F401
from envoy.extensions.filters.http.buffer.v3 import buffer_pb2  # noqa: F401
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.type.matcher.v3 import http_inputs_pb2  # noqa: F401
from google.protobuf.json_format import ParseDict, ParseError
from manifests.authorization import Request, denied
from manifests.objects import Document, Render, of_kind, the

from transformer.settings import Settings

PUBLIC = "sentiment.sentiment.example.com"
TRANSFORMER = "sentiment-transformer.sentiment.example.com"
SECOND_PASS = "sentiment-transformer.sentiment.svc.cluster.local"
OTHER = "shop.default.example.com"
KEY = "no key is set\n"

SERVED = (
    ("POST", "/"), ("POST", "/predict"), ("GET", "/health"), ("GET", "/v1/models/sentiment"),
    ("POST", "/v1/models/sentiment:predict"), ("GET", "/v2"), ("GET", "/v2/health/live"), ("GET", "/v2/health/ready"),
    ("GET", "/v2/models/sentiment"), ("GET", "/v2/models/sentiment/ready"), ("POST", "/v2/models/sentiment/infer"),
    ("POST", "/v2/models/sentiment/infer?trace=1"),
)  # fmt: skip
WITHHELD = (
    ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/docs"), ("POST", "/v2/repository/models/sentiment/load"),
    ("POST", "/v2/repository/models/sentiment/unload"), ("POST", "/v2/repository/index"), ("GET", "//metrics"),
    ("GET", "/predict/../metrics"), ("GET", "/METRICS"), ("DELETE", "/predict"), ("PUT", "/"), ("TRACE", "/health"),
)  # fmt: skip

hosts = pytest.mark.parametrize("host", [PUBLIC, TRANSFORMER, f"{PUBLIC}:443", PUBLIC.upper(), SECOND_PASS])


def policies(documents: list[Document]) -> list[Document]:
    return [
        policy
        for policy in of_kind(documents, "AuthorizationPolicy")
        if policy["metadata"]["namespace"] == "istio-system"
    ]


@hosts
def test_served_paths_pass(overlay: list[Document], host: str) -> None:
    assert [(method, path) for method, path in SERVED if denied(policies(overlay), Request(host, path, method))] == []


@hosts
def test_everything_else_stays_inside(overlay: list[Document], host: str) -> None:
    assert [
        (method, path) for method, path in WITHHELD if not denied(policies(overlay), Request(host, path, method))
    ] == []


@hosts
@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket", "websocket, h2c", "foo"])
def test_upgrades_end_at_the_gateway(overlay: list[Document], host: str, upgrade: str) -> None:
    # Passed on, one would end the connection between the gateway's two passes under everybody's requests.
    assert denied(policies(overlay), Request(host, "/predict", "GET", {"upgrade": upgrade}))
    assert not denied(policies(overlay), Request(host, "/predict", "POST", {"upgrade": "h2c"}))


@pytest.mark.parametrize("path", ["/metrics", "/anything", "/v2/repository/models/x/load"])
def test_other_hosts_are_left_alone(rendered: Render, path: str) -> None:
    documents = rendered("base", "istio", "jwt", "api-key")
    assert not denied(policies(documents), Request(OTHER, path, "DELETE"))


@pytest.mark.parametrize("host", [PUBLIC, TRANSFORMER, SECOND_PASS, "sentiment-predictor.sentiment.svc.cluster.local"])
def test_knative_can_probe_its_routes(rendered: Render, host: str) -> None:
    # Refused, the Route would wait for its load balancer for ever.
    probe = Request(host, "/healthz", "GET", {"user-agent": "Knative-Ingress-Probe"})
    assert not denied(policies(rendered("base", "istio", "jwt", "api-key")), probe)


@pytest.mark.parametrize("domain", ["", ":80", ".svc.cluster.local", ".svc.cluster.local:80"])
def test_predictor_takes_only_what_the_transformer_sends(rendered: Render, domain: str) -> None:
    host = f"sentiment-predictor.sentiment{domain}"
    found = policies(rendered("base", "istio"))
    for method, path in (
        ("POST", "/v2/models/sentiment/infer"),
        ("GET", "/v2/models/sentiment"),
        ("GET", "/v2/health/ready"),
    ):
        assert not denied(found, Request(host, path, method))
    assert denied(found, Request(host, "/v2/repository/models/sentiment/unload"))
    assert denied(found, Request(host, "/metrics", "GET"))


def test_jwt_is_asked_of_the_outside_only(rendered: Render) -> None:
    found = policies(rendered("base", "jwt"))
    assert denied(found, Request(PUBLIC, "/predict"))
    assert denied(found, Request(TRANSFORMER, "/predict"))
    assert not denied(found, Request(PUBLIC, "/predict", principal="https://login.example.com//user"))
    assert not denied(found, Request(PUBLIC, "/health", "GET"))
    # The same request, crossing the gateway again after its token was checked and dropped.
    assert not denied(found, Request(SECOND_PASS, "/predict"))


def test_jwt_issuer_and_keys_come_from_the_settings(rendered: Render) -> None:
    (rule,) = the(rendered("base", "jwt"), "RequestAuthentication", "sentiment-jwt")["spec"]["jwtRules"]
    assert rule == {
        "issuer": "https://login.example.com/",
        "jwksUri": "https://login.example.com/keys",
        "audiences": ["sentiment"],
    }


def test_api_key_admits_nobody_until_one_is_set(rendered: Render) -> None:
    documents = rendered("base", "api-key")
    for key in (None, "", "REPLACE_ME", "no key is set"):
        headers = {} if key is None else {"x-api-key": key}
        assert denied(policies(documents), Request(PUBLIC, "/predict", headers=headers))
    (rule,) = the(documents, "AuthorizationPolicy", "sentiment-require-api-key")["spec"]["rules"]
    assert rule["when"][0]["notValues"] == [KEY], "a value with a line end: no header can hold it"
    rule["when"][0]["notValues"] = ["secret-of-client-a", "secret-of-client-b"]
    assert not denied(policies(documents), Request(PUBLIC, "/predict", headers={"x-api-key": "secret-of-client-b"}))
    assert not denied(policies(documents), Request(SECOND_PASS, "/predict"))


def envoy_filters(documents: list[Document]) -> dict[str, dict[str, Any]]:
    patches = the(documents, "EnvoyFilter", "sentiment-limits")["spec"]["configPatches"]
    return {patch["patch"]["value"]["name"]: patch["patch"]["value"] for patch in patches}


def test_filters_fit_envoys_own_schema(rendered: Render) -> None:
    for value in envoy_filters(rendered("base", "gateway-limits")).values():
        ParseDict(value, HttpFilter())


@pytest.mark.parametrize("field", ["max_request_byte", "rate_limit"])
def test_envoys_schema_catches_a_seeded_mistake(rendered: Render, field: str) -> None:
    filters = envoy_filters(rendered("base", "gateway-limits"))
    filters["sentiment.rate-limit"]["typed_config"][field] = 1
    with pytest.raises(ParseError):
        ParseDict(filters["sentiment.rate-limit"], HttpFilter())


@pytest.mark.parametrize(
    ("host", "counted"),
    [(PUBLIC, True), (f"{PUBLIC}:443", True), (TRANSFORMER, True), (SECOND_PASS, False), (OTHER, False)],
)
def test_rate_limit_counts_public_requests_once(rendered: Render, host: str, counted: bool) -> None:  # noqa: FBT001
    config = envoy_filters(rendered("base", "gateway-limits"))["sentiment.rate-limit"]["typed_config"]
    (rule,) = config["rate_limits"]
    match, client = rule["actions"]
    assert client == {"remote_address": {}}
    assert all(_header_matches(header, host) for header in match["header_value_match"]["headers"]) == counted


def _header_matches(header: dict[str, Any], host: str) -> bool:
    assert header["name"] == ":authority"
    wanted = header["string_match"]
    if "safe_regex" in wanted:
        found = re.fullmatch(wanted["safe_regex"]["regex"], host) is not None
    else:
        found = wanted["contains"] in host
    return found != header.get("invert_match", False)


def test_rate_limit_is_per_client_and_leaves_other_hosts_free(rendered: Render) -> None:
    config = envoy_filters(rendered("base", "gateway-limits"))["sentiment.rate-limit"]["typed_config"]
    (descriptor,) = config["descriptors"]
    assert descriptor["entries"] == [{"key": "service", "value": "sentiment"}, {"key": "remote_address"}]
    assert config["token_bucket"]["max_tokens"] == 2**32 - 1
    assert config["max_dynamic_descriptors"] >= 1000


def test_body_limit_lets_the_transformer_answer_what_is_a_little_too_large(rendered: Render) -> None:
    config = envoy_filters(rendered("base", "gateway-limits"))["sentiment.body-limit"]["typed_config"]
    assert config["extension_config"]["typed_config"]["max_request_bytes"] > Settings().max_body_bytes
    (matcher,) = config["xds_matcher"]["matcher_list"]["matchers"]
    host = re.compile(matcher["predicate"]["not_matcher"]["single_predicate"]["value_match"]["safe_regex"]["regex"])
    assert host.fullmatch(PUBLIC)
    assert not host.fullmatch(OTHER)


def test_flood_is_stopped_before_tokens_are_checked(rendered: Render) -> None:
    patches = the(rendered("base", "gateway-limits"), "EnvoyFilter", "sentiment-limits")["spec"]["configPatches"]
    assert [patch["patch"]["operation"] for patch in patches] == ["INSERT_FIRST", "INSERT_BEFORE"]


@pytest.mark.parametrize("components", [("istio", "gateway-limits", "jwt", "api-key", "mtls")])
def test_gateway_policies_select_the_gateway_alone(rendered: Render, components: tuple[str, ...]) -> None:
    # A policy of the root namespace without a selector would act on the whole mesh.
    for document in rendered("base", *components):
        if document["metadata"].get("namespace") == "istio-system":
            spec = document["spec"]
            labels = spec.get("selector", {}).get("matchLabels") or spec["workloadSelector"]["labels"]
            assert labels == {"istio": "ingressgateway"}


def test_mesh_is_strict_but_for_metrics_and_knatives_webhooks(rendered: Render) -> None:
    peers = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one["spec"]
        for one in of_kind(rendered("base", "mtls"), "PeerAuthentication")
    }
    assert peers["knative-serving", "default"]["mtls"]["mode"] == "PERMISSIVE"
    ours = {name: spec for (namespace, name), spec in peers.items() if namespace == "sentiment"}
    assert all(spec["mtls"]["mode"] == "STRICT" for spec in ours.values())
    clear = {port for spec in ours.values() for port in spec.get("portLevelMtls", {})}
    assert clear == {"8080", "9091", "9121"}
