"""Pods pass `restricted`, hold no token, and reach exactly what they need."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest
from manifests.network import Address, Pod, allowed
from manifests.objects import Document, Render, container, of_kind, pod_templates, the
from manifests.pod_security import violations

TRANSFORMER = Pod("sentiment", {"serving.kserve.io/inferenceservice": "sentiment", "component": "transformer"})
PREDICTOR = Pod("sentiment", {"serving.kserve.io/inferenceservice": "sentiment", "component": "predictor"})
REDIS = Pod("sentiment", {"app.kubernetes.io/name": "redis", "app.kubernetes.io/part-of": "sentiment"})
OURS = {"transformer": TRANSFORMER, "predictor": PREDICTOR, "redis": REDIS}

GATEWAY = Pod("istio-system", {"istio": "ingressgateway"})
ISTIOD = Pod("istio-system", {"app": "istiod"})
ACTIVATOR = Pod("knative-serving", {"app": "activator"})
AUTOSCALER = Pod("knative-serving", {"app": "autoscaler"})
DNS = Pod("kube-system", {"k8s-app": "kube-dns"})
PROMETHEUS = Pod("monitoring", {"app.kubernetes.io/name": "prometheus"})
COLLECTOR = Pod("kube-system", {"rsName": "ama-metrics"})
STRANGER = Pod("default", {"app": "curious"})
INTRUDER = Pod("sentiment", {"app": "curious"})
LOG_SINK = Pod("knative-eventing", {"app": "mt-broker-ingress"})
API_SERVER = Pod("kube-system", {"component": "kube-apiserver"})
MANAGED_REDIS = Address("10.20.1.7")
ENTRA = Address("20.190.128.1")
NODE_METADATA = Address("169.254.169.254")

Open = tuple[str, str, int, str]

# Every connection the service needs, and none else: the test tries all pairs and ports below against this list.
NEEDED: set[Open] = {
    ("gateway", "transformer", 8012, "TCP"),
    ("gateway", "transformer", 8013, "TCP"),
    ("gateway", "predictor", 8012, "TCP"),
    ("gateway", "predictor", 8013, "TCP"),
    ("activator", "transformer", 8012, "TCP"),
    ("activator", "transformer", 8013, "TCP"),
    ("activator", "predictor", 8012, "TCP"),
    ("activator", "predictor", 8013, "TCP"),
    ("autoscaler", "transformer", 9090, "TCP"),
    ("autoscaler", "predictor", 9090, "TCP"),
    ("transformer", "gateway", 8081, "TCP"),
    ("transformer", "redis", 6379, "TCP"),
    ("transformer", "dns", 53, "UDP"),
    ("transformer", "dns", 53, "TCP"),
} | {
    (scraper, target, port, "TCP")
    for scraper in ("prometheus", "collector")
    for target in ("transformer", "predictor", "redis")
    for port in (8080, 9091, 9121)
}

IN_MESH = {
    ("transformer", "activator", 8012, "TCP"),
    ("transformer", "activator", 8013, "TCP"),
    ("transformer", "predictor", 8012, "TCP"),
    ("transformer", "predictor", 8013, "TCP"),
} | {
    (source, target, port, protocol)
    for source in OURS
    for target, port, protocol in (("istiod", 15012, "TCP"), ("dns", 53, "TCP"), ("dns", 53, "UDP"))
}

OUTSIDE_REDIS = {("transformer", "managed_redis", 10000, "TCP")} | {
    ("transformer", target, port, "TCP") for target in ("entra", "managed_redis") for port in (443, 8500, 8599, 10000)
}
OUTSIDE_MODEL = {("predictor", target, 443, "TCP") for target in ("entra", "managed_redis")} | {
    ("predictor", "dns", 53, protocol) for protocol in ("TCP", "UDP")
}

PORTS = (
    53,
    80,
    443,
    6379,
    6443,
    8012,
    8013,
    8022,
    8080,
    8081,
    8499,
    8500,
    8599,
    8600,
    9081,
    9090,
    9091,
    9121,
    10000,
    15012,
)

# A sink's port is its pods' own; what is sent goes by name.
LOGGED = {
    flow
    for component in ("transformer", "predictor")
    for flow in (
        *((component, "dns", 53, protocol) for protocol in ("TCP", "UDP")),
        *((component, "log_sink", port, "TCP") for port in PORTS),
    )
}

OTHERS = {
    "gateway": GATEWAY, "istiod": ISTIOD, "activator": ACTIVATOR, "autoscaler": AUTOSCALER, "dns": DNS,
    "prometheus": PROMETHEUS, "collector": COLLECTOR, "stranger": STRANGER, "intruder": INTRUDER,
    "api_server": API_SERVER, "log_sink": LOG_SINK,
}  # fmt: skip
ADDRESSES = {"managed_redis": MANAGED_REDIS, "entra": ENTRA, "node_metadata": NODE_METADATA}


def open_flows(documents: list[Document], also: Mapping[str, Pod] = MappingProxyType({})) -> set[Open]:
    """Every connection with one end in the namespace's workloads that the policies let through."""
    policies = of_kind(documents, "NetworkPolicy")
    ends = OURS | OTHERS | also | ADDRESSES
    pairs = [(a, b) for a in ends for b in ends if a != b and (a in OURS or b in OURS)]
    return {
        (a, b, port, protocol)
        for a, b in pairs
        for port in PORTS
        for protocol in ("TCP", "UDP")
        if allowed(policies, ends[a], ends[b], port, protocol)
    }


@pytest.mark.parametrize(
    ("components", "expected"),
    [
        ((), NEEDED),
        (("managed-redis",), {flow for flow in NEEDED if flow[1:3] != ("redis", 6379)} | OUTSIDE_REDIS),
        (("model-hf",), NEEDED | OUTSIDE_MODEL),
        (("model-azure",), NEEDED | OUTSIDE_MODEL),
        (("mtls",), NEEDED | IN_MESH),
        (("payload-logging",), NEEDED | LOGGED),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_exactly_the_needed_connections_are_open(
    rendered: Render, components: tuple[str, ...], expected: set[Open]
) -> None:
    assert open_flows(rendered("base", *components)) == expected


def test_predictor_and_redis_open_no_connection(every_overlay: list[Document]) -> None:
    assert not {flow for flow in open_flows(every_overlay) if flow[0] in {"predictor", "redis"}}


def test_every_pod_passes_the_restricted_level(every_overlay: list[Document]) -> None:
    templates = dict(pod_templates(every_overlay))
    assert len(templates) >= 2
    for name, template in templates.items():
        assert violations(template["spec"]) == [], name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("runAsNonRoot", False),
        ("allowPrivilegeEscalation", True),
        ("capabilities", {"drop": ["NET_RAW"]}),
        ("seccompProfile", {"type": "Unconfined"}),
        ("privileged", True),
        ("runAsUser", 0),
    ],
)
def test_level_check_catches_seeded_mistakes(rendered: Render, field: str, value: object) -> None:
    pod = dict(pod_templates(rendered("base")))["sentiment-predictor"]["spec"]
    pod["containers"][0]["securityContext"][field] = value
    assert len(violations(pod)) == 1


def test_namespace_enforces_the_restricted_level(every_overlay: list[Document]) -> None:
    assert (
        the(every_overlay, "Namespace", "sentiment")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
        == "restricted"
    )


def test_root_filesystems_are_read_only_and_tmp_is_bounded(every_overlay: list[Document]) -> None:
    for name, template in pod_templates(every_overlay):
        for one in template["spec"]["containers"]:
            assert one["securityContext"]["readOnlyRootFilesystem"] is True, name
        for volume in template["spec"]["volumes"]:
            assert "emptyDir" not in volume or "sizeLimit" in volume["emptyDir"], name


def test_no_pod_holds_a_service_account_token(every_overlay: list[Document]) -> None:
    accounts = {account["metadata"]["name"] for account in of_kind(every_overlay, "ServiceAccount")}
    assert all(account["automountServiceAccountToken"] is False for account in of_kind(every_overlay, "ServiceAccount"))
    for name, template in pod_templates(every_overlay):
        assert template["spec"]["automountServiceAccountToken"] is False
        assert template["spec"]["serviceAccountName"] == name
        assert name in accounts


def test_images_are_never_latest(every_overlay: list[Document]) -> None:
    for _, template in pod_templates(every_overlay):
        for one in template["spec"]["containers"]:
            assert ":" in one["image"].rpartition("/")[2]
            assert not one["image"].endswith(":latest")


@pytest.mark.parametrize("component", ["transformer", "predictor"])
def test_cloud_identity_is_the_components_own(rendered: Render, component: str) -> None:
    documents = rendered("base", "managed-redis", "model-azure")
    account = the(documents, "ServiceAccount", f"sentiment-{component}")
    assert "azure.workload.identity/client-id" in account["metadata"]["annotations"]
    template = dict(pod_templates(documents))[f"sentiment-{component}"]
    # The webhook mutates labelled pods only.
    assert template["metadata"]["labels"]["azure.workload.identity/use"] == "true"


def test_disruption_budgets_select_the_components_and_let_nodes_drain(every_overlay: list[Document]) -> None:
    budgets = of_kind(every_overlay, "PodDisruptionBudget")
    selected = {budget["spec"]["selector"]["matchLabels"]["component"] for budget in budgets}
    assert selected == {"transformer", "predictor"}
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] == 1
        assert "minAvailable" not in budget["spec"]


def test_secrets_reach_the_transformer_by_reference(rendered: Render) -> None:
    entries = {entry["name"]: entry for entry in container(rendered("base"), "transformer")["env"]}
    for name in ("TRANSFORMER_REDIS_PASSWORD", "TRANSFORMER_CACHE_SECRET"):
        assert entries[name]["valueFrom"]["secretKeyRef"]["name"] == "sentiment-cache"
