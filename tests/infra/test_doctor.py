"""doctor.sh against recorded answers of a healthy cluster, and of broken ones."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from infra.stubs import Stubs

PLATFORM = Path(__file__).resolve().parents[2] / "infra" / "platform"
DOCTOR = PLATFORM / "doctor.sh"
SERVING = dict(re.findall(r"^([A-Z_]+)=(\S+)$", (PLATFORM / "versions.env").read_text(), re.MULTILINE))[
    "KNATIVE_SERVING_VERSION"
]
MakeSettings = Callable[..., Path]


def test_a_healthy_cluster_is_all_well(cluster: Stubs, make_settings: MakeSettings) -> None:
    done = cluster.run(DOCTOR, "--settings", make_settings())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all well\n")
    assert "WRONG" not in done.stdout


def test_every_flag_that_is_set_is_looked_for_under_its_whole_name(cluster: Stubs, make_settings: MakeSettings) -> None:
    cluster.run(DOCTOR, "--settings", make_settings())
    serving = (PLATFORM / "resources" / "knative-serving.yaml").read_text()
    flags = re.findall(r"kubernetes\.podspec-([a-z-]+): enabled", serving)
    asked = [call for call in cluster.calls("kubectl get configmap/config-features ") if "podspec" in call]
    assert [re.findall(r"podspec-([a-z-]+)\}", call) for call in asked] == [[flag] for flag in flags]


BROKEN = [
    ("kubectl get deployment/activator *", "", "WRONG knative-serving/activator runs", "install.sh --from knative"),
    ("kubectl get deployment/istiod *", "0", "WRONG istio-system/istiod runs", "install.sh --from istio"),
    (
        "kubectl get validatingwebhookconfiguration/inferenceservice.serving.kserve.io *",
        "",
        "WRONG webhook inferenceservice.serving.kserve.io has its certificate",
        "install.sh --from kserve",
    ),
    (
        "kubectl get service/istio-ingressgateway *ingress?0?.ip*",
        "",
        "WRONG gateway address is 198.51.100.10 (found: nothing)",
        "Network Contributor",
    ),
    (
        "kubectl get service/istio-ingressgateway *ingress?0?.ip*",
        "203.0.113.9",
        "found: 203.0.113.9",
        "terraform apply",
    ),
    (
        "kubectl get service/istio-ingressgateway *Policy*",
        "Cluster",
        "WRONG clients' addresses are kept",
        "--only istio",
    ),
    ("kubectl get gateways* *credentialName*", "", "WRONG gateway serves TLS", "install.sh --only knative"),
    ("kubectl get gateways* *httpsRedirect*", "", "WRONG plain HTTP redirects", "install.sh --only knative"),
    ("kubectl get service/knative-local-gateway *", "", "WRONG local gateway", "install.sh --only knative"),
    ("kubectl get knativeserving/*", "1.0.0", f"WRONG Knative Serving is {SERVING}", "install.sh --only knative"),
    (
        "kubectl get configmap/config-features *podspec-tolerations*",
        "disabled",
        "WRONG feature kubernetes.podspec-tolerations (found: disabled)",
        "Knative refuses the manifests",
    ),
    ("kubectl get configmap/config-domain *", "{}", "WRONG domain ml.example.com", "not reachable from outside"),
    (
        "kubectl get configmap/config-deployment *",
        "dev.local",
        "WRONG tags of crsentiment.azurecr.io",
        "no right to pull",
    ),
    (
        "kubectl get configmap/config-observability *",
        "none",
        "WRONG request metrics are on",
        "install.sh --only knative",
    ),
    (
        "kubectl get configmap/inferenceservice-config *",
        '{"ingress":"{\\"ingressDomain\\":\\"ml.example.com\\",\\"urlScheme\\":\\"http\\"}"}',
        "WRONG KServe gives https addresses",
        "install.sh --only kserve",
    ),
    ("kubectl get clusterstoragecontainers* *", "", "WRONG storage initializer", "install.sh --only kserve"),
    ("kubectl get certificate/gateway *Ready*", "False", "WRONG certificate is ready", "kubectl describe challenges"),
    (
        "kubectl get certificate/gateway *renewalTime*",
        "2001-01-01T00:00:00Z",
        "should have renewed by now",
        "describe certificate",
    ),
    ("kubectl get certificate/gateway *renewalTime*", "", "due: unknown", "describe certificate"),
    (
        "getent*",
        "",
        "WRONG sentiment.sentiment.ml.example.com is 198.51.100.10",
        "delegate ml.example.com at its registrar to: ns1-01",
    ),
    ("kubectl get servicemonitors*", "", "WRONG monitors are known", "install.sh --only prometheus"),
]


@pytest.mark.parametrize(("call", "output", "what", "fix"), BROKEN)
def test_each_fault_is_found_with_its_fix(
    cluster: Stubs, make_settings: MakeSettings, call: str, output: str, what: str, fix: str
) -> None:
    cluster.answer(call, output)
    done = cluster.run(DOCTOR, "--settings", make_settings())
    findings = re.findall(r"^WRONG .*\n +fix: .*$", done.stdout, re.MULTILINE)
    assert done.returncode == len(findings) > 0
    assert any(what in finding and fix in finding for finding in findings), done.stdout


def test_all_findings_come_at_once(cluster: Stubs, make_settings: MakeSettings) -> None:
    cluster.answer("kubectl get deployment/activator *", "")
    cluster.answer("kubectl get certificate/gateway *Ready*", "")
    done = cluster.run(DOCTOR, "--settings", make_settings())
    assert done.returncode == 2
    assert "2 of the above to fix" in done.stdout


def test_a_private_authority_asks_no_dns(cluster: Stubs, make_settings: MakeSettings) -> None:
    done = cluster.run(DOCTOR, "--settings", make_settings(CERTIFICATE_ISSUER="private-ca"))
    assert done.returncode == 0
    assert cluster.calls("getent") == []


def test_doctor_only_looks(cluster: Stubs, make_settings: MakeSettings) -> None:
    cluster.run(DOCTOR, "--settings", make_settings())
    assert {call.split()[1] for call in cluster.calls("kubectl")} == {"get"}


def test_no_cluster_is_said_plainly(cluster: Stubs, make_settings: MakeSettings) -> None:
    cluster.answer("kubectl get --raw /version", "", status=1)
    done = cluster.run(DOCTOR, "--settings", make_settings())
    assert done.returncode != 0
    assert "kubectl reaches no cluster" in done.stderr
