"""install.sh and uninstall.sh against a helm and a kubectl that record their calls."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from infra.stubs import Stubs

PLATFORM = Path(__file__).resolve().parents[2] / "infra" / "platform"
INSTALL = PLATFORM / "install.sh"
VERSIONS = dict(re.findall(r"^([A-Z_]+)=(\S+)$", (PLATFORM / "versions.env").read_text(), re.MULTILINE))
RELEASES = [
    ("cert-manager", "CERT_MANAGER_VERSION"),
    ("istio-base", "ISTIO_VERSION"),
    ("istio-cni", "ISTIO_VERSION"),
    ("istiod", "ISTIO_VERSION"),
    ("istio-ingressgateway", "ISTIO_VERSION"),
    ("knative-operator", "KNATIVE_OPERATOR_VERSION"),
    ("kserve-crd", "KSERVE_VERSION"),
    ("kserve-resources", "KSERVE_VERSION"),
]
MakeSettings = Callable[..., Path]


def upgraded(stubs: Stubs) -> list[str]:
    return [call.split()[3] for call in stubs.calls("helm upgrade")]


def piped(stubs: Stubs) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(stubs.read()) if document]


def install(stubs: Stubs, settings: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return stubs.run(INSTALL, "--settings", settings, *options)


def test_releases_come_in_order_with_their_pinned_versions(cluster: Stubs, make_settings: MakeSettings) -> None:
    done = install(cluster, make_settings())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("will answer once the manifests are applied")
    assert upgraded(cluster) == [name for name, _ in RELEASES]
    for call, (name, version) in zip(cluster.calls("helm upgrade"), RELEASES, strict=True):
        assert f"--version {VERSIONS[version]} " in call or f"/{name}-{VERSIONS[version]}.tgz " in call
        assert "--wait" in call


def test_each_part_waits_for_the_one_before(cluster: Stubs, make_settings: MakeSettings) -> None:
    install(cluster, make_settings())
    calls = cluster.calls()

    def position(pattern: str) -> int:
        return next(i for i, call in enumerate(calls) if re.search(pattern, call))

    order = [
        r"rollout status deployment/cert-manager-webhook",
        r"helm upgrade --install istiod ",
        r"rollout status deployment/istio-ingressgateway",
        r"kubectl wait certificate/gateway .*condition=Ready",
        r"helm upgrade --install knative-operator",
        r"rollout status deployment/operator-webhook",
        rf"kubectl wait knativeserving/.*status.version}}={VERSIONS['KNATIVE_SERVING_VERSION']}",
        r"kubectl wait knativeserving/.*condition=Ready",
        r"rollout status deployment/net-istio-webhook",
        r"helm upgrade --install kserve-crd",
        r"helm upgrade --install kserve-resources",
        r"kubectl patch configmap inferenceservice-config",
        r"rollout status deployment/kserve-controller-manager",
        r"kubectl get crd servicemonitors.azmonitoring.coreos.com",
    ]
    positions = [position(pattern) for pattern in order]
    assert positions == sorted(positions)


def test_a_second_run_upgrades_nothing(cluster: Stubs, make_settings: MakeSettings) -> None:
    settings = make_settings()
    install(cluster, settings)
    remember_releases(cluster)
    install(cluster, settings)
    assert cluster.calls("helm upgrade") == []


def remember_releases(stubs: Stubs, **status: str) -> None:
    for call in stubs.calls("helm upgrade"):
        name = call.split()[3]
        marked = re.search(r"--description (.*) --wait", call)
        assert marked
        release = {"revision": 1, "status": status.get(name.replace("-", "_"), "deployed"), "description": marked[1]}
        stubs.answer(f"helm history {name} *", json.dumps([release], separators=(",", ":")))


def test_changed_values_upgrade_only_what_they_reach(cluster: Stubs, make_settings: MakeSettings) -> None:
    install(cluster, make_settings())
    remember_releases(cluster)
    install(cluster, make_settings(GATEWAY_IP_NAME="another-address"))
    assert upgraded(cluster) == ["istio-ingressgateway"]


@pytest.mark.parametrize(
    ("status", "repair"),
    [("pending-install", "uninstall"), ("pending-upgrade", "rollback"), ("pending-rollback", "rollback")],
)
def test_an_interrupted_release_is_unlocked_first(
    cluster: Stubs, make_settings: MakeSettings, status: str, repair: str
) -> None:
    install(cluster, make_settings())
    remember_releases(cluster, istiod=status)
    install(cluster, make_settings())
    assert [
        call.split()[1] for call in cluster.calls("helm") if call.split()[2] == "istiod" or " istiod istiod " in call
    ][-2:] == [repair, "upgrade"]


def test_a_failing_step_stops_with_a_message_and_where_to_go_on(cluster: Stubs, make_settings: MakeSettings) -> None:
    cluster.answer("helm upgrade --install istiod *", "", status=1)
    done = install(cluster, make_settings())
    assert done.returncode != 0
    assert "helm could not install istiod" in done.stderr
    assert "install.sh --from istio" in done.stderr
    assert upgraded(cluster)[-1] == "istiod"


def test_from_starts_there_and_only_does_one(cluster: Stubs, make_settings: MakeSettings) -> None:
    install(cluster, make_settings(), "--from", "kserve")
    assert upgraded(cluster) == ["kserve-crd", "kserve-resources"]
    install(cluster, make_settings(), "--only", "istio")
    assert upgraded(cluster) == ["istio-base", "istio-cni", "istiod", "istio-ingressgateway"]
    assert cluster.calls("kubectl wait") == []


def test_an_unknown_step_is_refused_with_the_list(cluster: Stubs, make_settings: MakeSettings) -> None:
    done = install(cluster, make_settings(), "--from", "kubernetes")
    assert done.returncode != 0
    assert "cert_manager istio certificate" in done.stderr
    assert cluster.calls() == []


@pytest.mark.parametrize(
    ("answer", "output", "message"),
    [
        ("helm version*", "v3.9.0", "helm is v3.9.0"),
        ("kubectl get --raw /version", '{"gitVersion": "v1.31.4"}', "the cluster runs Kubernetes 1.31"),
    ],
)
def test_old_tools_and_clusters_stop_before_anything_changes(
    cluster: Stubs, make_settings: MakeSettings, answer: str, output: str, message: str
) -> None:
    cluster.answer(answer, output)
    done = install(cluster, make_settings())
    assert done.returncode != 0
    assert message in done.stderr
    assert cluster.calls("helm upgrade", "kubectl apply") == []


def test_missing_tools_and_clusters_are_named(cluster: Stubs, make_settings: MakeSettings) -> None:
    cluster.answer("kubectl get --raw /version", "refused", status=1)
    assert "kubectl reaches no cluster" in install(cluster, make_settings()).stderr
    cluster.remove("helm")
    assert "not on PATH: helm" in install(cluster, make_settings()).stderr


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"DOMAIN": "-"}, "lacks DOMAIN"),
        ({"DOMAIN": "$(reboot)"}, "DOMAIN holds a character"),
        ({"AVAILABILITY": "high"}, "AVAILABILITY is single or zonal"),
        ({"CERTIFICATE_ISSUER": "mine"}, "CERTIFICATE_ISSUER is"),
        ({"PROMETHEUS": "none"}, "PROMETHEUS is"),
    ],
)
def test_wrong_settings_are_refused(
    cluster: Stubs, make_settings: MakeSettings, changed: dict[str, str], message: str
) -> None:
    done = install(cluster, make_settings(**changed))
    assert done.returncode != 0
    assert message in done.stderr
    assert cluster.calls() == []


def test_a_webhook_that_is_not_up_yet_is_tried_again(
    cluster: Stubs, make_settings: MakeSettings, tmp_path: Path
) -> None:
    # Refuses twice, then takes everything: the count is kept by a program of its own, in front of the stub.
    kubectl, behind, refused = cluster.bin / "kubectl", cluster.bin / "behind", tmp_path / "refused"
    behind.mkdir()
    kubectl.rename(behind / "kubectl")
    kubectl.write_text(
        f"#!{cluster.bin}/bash\n"
        f"if [[ $1 == apply && $(cat {refused}) != xx ]]; then printf x >>{refused}; cat >/dev/null; exit 1; fi\n"
        f'exec {behind}/kubectl "$@"\n'
    )
    refused.touch()
    kubectl.chmod(0o755)
    done = install(cluster, make_settings(), "--only", "namespaces")
    assert done.returncode == 0, done.stderr
    assert refused.read_text() == "xx"
    assert len(cluster.calls("kubectl apply")) == 1


def test_the_dry_run_needs_no_tools_and_touches_nothing(cluster: Stubs, make_settings: MakeSettings) -> None:
    settings = make_settings()
    install(cluster, settings)
    real = upgraded(cluster)
    cluster.remove("helm")
    cluster.remove("kubectl")
    done = install(cluster, settings, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert cluster.calls() == []
    assert re.findall(r"^\+ helm upgrade --install (\S+)", done.stdout, re.MULTILINE) == real


def test_zonal_runs_two_of_everything_and_single_one(cluster: Stubs, make_settings: MakeSettings) -> None:
    for availability, replicas in (("zonal", 2), ("single", 1)):
        install(cluster, make_settings(AVAILABILITY=availability))
        serving = next(d for d in piped(cluster) if d.get("kind") == "KnativeServing")
        assert serving["spec"]["high-availability"]["replicas"] == replicas
        budgets = {b["name"]: b["minAvailable"] for b in serving["spec"]["podDisruptionBudgets"]}
        assert set(budgets.values()) == {replicas - 1}, "a node must be drainable"
        assert f"--replicas={replicas}" in cluster.calls("kubectl scale")[0]


def test_knative_is_told_what_the_manifests_and_the_registry_need(cluster: Stubs, make_settings: MakeSettings) -> None:
    install(cluster, make_settings())
    spec = next(d for d in piped(cluster) if d.get("kind") == "KnativeServing")["spec"]
    assert spec["version"] == VERSIONS["KNATIVE_SERVING_VERSION"]
    scheduling = "nodeselector tolerations affinity topologyspreadconstraints priorityclassname"
    wanted = f"{scheduling} securitycontext fieldref volumes-emptydir"
    flags = spec["config"]["features"]
    assert {f"kubernetes.podspec-{flag}" for flag in wanted.split()} == {k for k, v in flags.items() if v == "enabled"}
    assert spec["config"]["domain"] == {"ml.example.com": ""}
    assert "crsentiment.azurecr.io" in spec["config"]["deployment"]["registries-skipping-tag-resolving"].split(",")
    assert spec["config"]["observability"] == {
        "metrics-protocol": "prometheus",
        "request-metrics-protocol": "prometheus",
    }
    http, https = spec["ingress"]["istio"]["knative-ingress-gateway"]["servers"]
    assert http["tls"] == {"httpsRedirect": True}
    certificate = next(d for d in piped(cluster) if d.get("kind") == "Certificate")["spec"]
    assert https["tls"]["credentialName"] == certificate["secretName"]
    assert certificate["dnsNames"] == ["*.sentiment.ml.example.com"]


def test_kserve_serves_https_under_the_domain_and_ignores_tools_annotations(
    cluster: Stubs, make_settings: MakeSettings
) -> None:
    install(cluster, make_settings())
    controller = next(d["kserve"] for d in piped(cluster) if "kserve" in d)["controller"]
    assert controller["deploymentMode"] == "Knative"
    assert (controller["gateway"]["domain"], controller["gateway"]["urlScheme"]) == ("ml.example.com", "https")
    storage = next(d["kserve"] for d in piped(cluster) if "kserve" in d)["storage"]
    assert storage["containerSecurityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    patch = json.loads((PLATFORM / "resources" / "inferenceservice-config.json").read_text())
    config = json.loads(patch["data"]["inferenceService"])
    assert "argocd.argoproj.io/tracking-id" in config["serviceAnnotationDisallowedList"]


def test_certificates_come_from_the_chosen_issuer(cluster: Stubs, make_settings: MakeSettings) -> None:
    servers = {}
    for issuer in ("letsencrypt", "letsencrypt-staging", "private-ca"):
        install(cluster, make_settings(CERTIFICATE_ISSUER=issuer), "--only", "certificate")
        named = next(
            d for d in piped(cluster) if d.get("kind") == "ClusterIssuer" and d["metadata"]["name"] == "platform"
        )
        servers[issuer] = named["spec"].get("acme", {}).get("server", "")
    assert "staging" not in servers["letsencrypt"]
    assert "staging" in servers["letsencrypt-staging"]
    assert servers["private-ca"] == ""


def test_monitoring_follows_the_setting(cluster: Stubs, make_settings: MakeSettings) -> None:
    for setting, group, releases in (
        ("stack", "monitoring.coreos.com", ["kube-prometheus-stack"]),
        ("managed", "azmonitoring.coreos.com", []),
    ):
        install(cluster, make_settings(PROMETHEUS=setting), "--only", "prometheus")
        assert upgraded(cluster) == releases
        assert {d["apiVersion"] for d in piped(cluster) if d.get("kind", "").endswith("Monitor")} == {f"{group}/v1"}


def test_the_ingress_setting_names_knatives_class_and_what_is_waited_for(
    cluster: Stubs, make_settings: MakeSettings
) -> None:
    classes = {"net-istio": "istio", "net-gateway-api": "gateway-api"}
    for setting, name in classes.items():
        install(cluster, make_settings(INGRESS=setting), "--only", "knative")
        serving = next(d for d in piped(cluster) if d.get("kind") == "KnativeServing")
        assert serving["spec"]["config"]["network"]["ingress-class"] == f"{name}.ingress.networking.knative.dev"
        for part in ("controller", "webhook"):
            assert cluster.calls(f"kubectl rollout status deployment/{setting}-{part} ")
    refused = install(cluster, make_settings(INGRESS="contour"), "--only", "knative")
    assert refused.returncode == 1
    assert "INGRESS is net-istio or net-gateway-api, not contour" in refused.stderr


def test_other_versions_win_where_a_file_names_them(
    cluster: Stubs, make_settings: MakeSettings, tmp_path: Path
) -> None:
    versions = tmp_path / "versions.env"
    versions.write_text("KSERVE_VERSION=v9.9.9\n")
    settings = make_settings()
    cluster.run(INSTALL, "--settings", settings, "--only", "kserve", PLATFORM_VERSIONS=str(versions))
    assert all("--version v9.9.9 " in call for call in cluster.calls("helm upgrade"))
    cluster.run(INSTALL, "--settings", settings, "--only", "cert_manager", PLATFORM_VERSIONS=str(versions))
    assert f"--version {VERSIONS['CERT_MANAGER_VERSION']} " in cluster.calls("helm upgrade")[0]


def test_auto_provisioned_nodes_carry_the_pools_label_and_taint(cluster: Stubs, make_settings: MakeSettings) -> None:
    install(cluster, make_settings(NODE_PROVISIONING="auto"), "--only", "nodes")
    template = next(d for d in piped(cluster) if d["kind"] == "NodePool")["spec"]["template"]
    pools = (PLATFORM.parent / "node_pools.tf").read_text()
    taint = template["spec"]["taints"][0]
    assert f'"{taint["key"]}={taint["value"]}:{taint["effect"]}"' in pools
    assert f'{{ workload = "{template["metadata"]["labels"]["workload"]}" }}' in pools
    install(cluster, make_settings(NODE_PROVISIONING="pool"), "--only", "nodes")
    assert cluster.calls("kubectl apply") == []


def test_every_template_and_values_file_is_used_and_filled(cluster: Stubs, make_settings: MakeSettings) -> None:
    used: set[str] = set()
    for changed in (
        {},
        {"CERTIFICATE_ISSUER": "private-ca", "PROMETHEUS": "stack", "NODE_PROVISIONING": "auto", "MESH": "sidecar"},
    ):
        done = install(cluster, make_settings(**changed))
        assert "${" not in cluster.read()
        used |= set(re.findall(r"resources/[\w.-]+", done.stdout))
        used |= {f"values/{name}.yaml" for name in upgraded(cluster)}
    there = {str(p.relative_to(PLATFORM)) for folder in ("resources", "values") for p in (PLATFORM / folder).iterdir()}
    assert there <= used
