"""up.sh and down.sh against recorded tools: order, consent, price, and what reaches the cluster."""

import json
import re
import shutil
from pathlib import Path

import pytest
from infra.stubs import STUB, Stubs

INFRA = Path(__file__).resolve().parents[2] / "infra"
OUTPUTS = {
    "availability": "zonal",
    "cert_manager_client_id": "33333333-3333-3333-3333-333333333333",
    "certificate_issuer": "letsencrypt",
    "cluster_name": "aks-sentiment-prod",
    "contact_email": "ops@example.com",
    "domain": "ml.example.com",
    "gateway_ip": "198.51.100.10",
    "gateway_ip_name": "pip-sentiment-prod-gateway",
    "name_servers": "ns1-01.azure-dns.com. ns2-01.azure-dns.net.",
    "namespace": "sentiment",
    "node_provisioning": "pool",
    "predictor_client_id": "44444444-4444-4444-4444-444444444444",
    "prometheus": "managed",
    "redis_url": "rediss://redis.example:10000",
    "registry": "crsentiment.azurecr.io",
    "registry_name": "crsentiment",
    "resource_group": "rg-sentiment-prod",
    "storage_uri": "https://stsentiment.blob.core.windows.net/models",
    "subscription_id": "00000000-0000-0000-0000-000000000000",
    "transformer_client_id": "55555555-5555-5555-5555-555555555555",
}
ANSWER = '{"predictions":[[{"label":"POSITIVE","score":0.99},{"label":"NEGATIVE","score":0.01}]]}'
DIGEST = "sha256:" + "ab" * 32


@pytest.fixture
def azure(tmp_path: Path) -> Stubs:
    """A copy of the project, as up.sh sees it, with every tool recorded and a subscription that works."""
    stubs = Stubs(
        folder=tmp_path / "stubs",
        names=(
            "az",
            "terraform",
            "kubelogin",
            "kubectl",
            "helm",
            "docker",
            "make",
            "curl",
            "openssl",
            "git",
            "python3",
        ),
    )
    shutil.copytree(INFRA, tmp_path / "project" / "infra", ignore=shutil.ignore_patterns(".terraform*", "mine.tfvars"))
    base = tmp_path / "project" / "manifests" / "base"
    base.mkdir(parents=True)
    (base / "namespace.yaml").write_text("kind: Namespace\n")
    mine = tmp_path / "project" / "infra" / "environments" / "mine.tfvars"
    shutil.copy(mine.with_name("mine.tfvars.example"), mine)
    # install.sh has tests of its own.
    install = tmp_path / "project" / "infra" / "platform" / "install.sh"
    install.unlink()
    install.symlink_to(STUB)
    stubs.answer("git *", "0123456789ab")
    stubs.answer("openssl rand*", "c0ffee")
    stubs.answer("az feature show*", "Registered")
    stubs.answer("az ad signed-in-user*", "66666666-6666-6666-6666-666666666666")
    stubs.answer("az acr repository show*", DIGEST)
    stubs.answer("terraform console*", "<<EOT\ntotal 1541.91\nEOT\n")
    stubs.answer(
        "terraform output*",
        "".join(f'{k} = "{v}"\n' for k, v in OUTPUTS.items()) + "monthly_estimate = <<EOT\nx\nEOT\n",
    )
    stubs.answer("kubectl get secret sentiment-cache*", status=1)
    names = ("sentiment-predictor", "sentiment-transformer")
    images = "".join(f"image: crsentiment.azurecr.io/{name}:0123456789ab\n" for name in names)
    stubs.answer("python3 *render.py*", images)
    stubs.answer("curl*", ANSWER)
    return stubs


def up(stubs: Stubs, *options: str, stdin: str = "", script: str = "up.sh") -> tuple[int, str, str]:
    project = stubs.folder.parent / "project"
    done = stubs.run(project / "infra" / script, *options, stdin=stdin)
    return done.returncode, done.stdout, done.stderr


def position(calls: list[str], pattern: str) -> int:
    found = [i for i, call in enumerate(calls) if re.search(pattern, call)]
    assert found, f"never called: {pattern}"
    return found[0]


def test_one_command_goes_from_nothing_to_an_answer(azure: Stubs) -> None:
    status, out, err = up(azure, "prod", "--yes")
    assert status == 0, out + err
    assert out.rstrip().endswith("https://sentiment.sentiment.ml.example.com answers")
    calls = azure.calls()
    order = [
        "az group create",
        "az storage account create .*--allow-shared-key-access false",
        "terraform init .*key=prod.tfstate",
        "terraform plan .*environments/prod.tfvars .*mine.tfvars",
        "terraform console",
        "terraform apply .*plan.tfplan",
        "az aks get-credentials .*aks-sentiment-prod",
        "kubelogin convert-kubeconfig",
        "make .*images REGISTRY=crsentiment.azurecr.io TAG=0123456789ab",
        "az acr login --name crsentiment",
        "docker push crsentiment.azurecr.io/sentiment-predictor:0123456789ab",
        "install.sh --settings .*prod/settings.env",
        "kubectl apply .*namespace.yaml",
        "kubectl apply .*manifests.yaml",
        "kubectl wait inferenceservice/sentiment",
        "curl .*--resolve sentiment.sentiment.ml.example.com:443:198.51.100.10",
    ]
    positions = [position(calls, pattern) for pattern in order]
    assert positions == sorted(positions)


@pytest.mark.parametrize("answer", ["", "no\n", "yes\n"])
def test_nothing_is_made_without_consent_to_the_price(azure: Stubs, answer: str) -> None:
    status, out, err = up(azure, "prod", stdin=answer)
    assert status != 0
    assert "total 1541.91" in out
    assert "nothing was created" in err
    assert azure.calls("terraform apply", "make", "install.sh", "docker") == []


def test_the_environments_name_is_consent(azure: Stubs) -> None:
    status, _, err = up(azure, "prod", stdin="prod\n")
    assert status == 0, err


def test_the_platform_gets_every_output_it_asks_for(azure: Stubs) -> None:
    up(azure, "prod", "--yes")
    settings = (azure.folder.parent / "project" / ".cache" / "infra" / "prod" / "settings.env").read_text()
    assert dict(line.split("=", 1) for line in settings.splitlines()) == {k.upper(): v for k, v in OUTPUTS.items()}
    declared = re.findall(r'^output "(\w+)"', (INFRA / "outputs.tf").read_text(), re.MULTILINE)
    assert set(declared) == {*OUTPUTS, "monthly_estimate"}


def test_buildah_stands_in_where_no_docker_daemon_answers(azure: Stubs) -> None:
    azure.answer("docker info*", status=1)
    azure.answer("az acr login*", "t0ken")
    (azure.bin / "buildah").symlink_to(STUB)
    status, out, err = up(azure, "prod", "--yes")
    assert status == 0, err
    assert [call.split()[1] for call in azure.calls("buildah")] == ["login", "push", "push"]
    assert azure.calls("docker push") == []
    assert "t0ken" not in out + err + "\n".join(azure.calls())
    azure.remove("buildah")
    assert "a docker daemon or buildah is needed" in up(azure, "prod", "--yes")[2]


def test_manifests_get_terraforms_values_and_digests(azure: Stubs) -> None:
    up(azure, "prod", "--yes")
    render = azure.calls("python3")[0]
    for key in ("transformer_client_id", "predictor_client_id", "storage_uri", "redis_url", "registry"):
        assert f"--set {key}={OUTPUTS[key]}" in render
    applied = (azure.folder.parent / "project" / ".cache" / "infra" / "prod" / "manifests.yaml").read_text()
    assert re.findall(r"image: (\S+)", applied) == [
        f"crsentiment.azurecr.io/{name}@{DIGEST}" for name in ("sentiment-predictor", "sentiment-transformer")
    ]


def test_the_cache_secret_is_made_once_and_never_shown(azure: Stubs) -> None:
    _, out, err = up(azure, "prod", "--yes")
    assert "hash-secret" in azure.read()
    assert "c0ffee" not in out + err + "\n".join(azure.calls())
    azure.answer("kubectl get secret sentiment-cache*", "there")
    up(azure, "prod", "--yes")
    assert "hash-secret" not in azure.read()


def test_a_private_authority_is_trusted_by_its_own_root(azure: Stubs) -> None:
    azure.answer(
        "terraform output*",
        "".join(f'{k} = "{v}"\n' for k, v in (OUTPUTS | {"certificate_issuer": "private-ca"}).items()),
    )
    azure.answer("kubectl get secret platform-root*", "Q0E=")
    status, _, err = up(azure, "prod", "--yes")
    assert status == 0, err
    assert "--cacert" in azure.calls("curl")[0]
    assert "--insecure" not in azure.calls("curl")[0]


@pytest.mark.parametrize(
    ("call", "message", "never"),
    [
        ("terraform plan*", "", "terraform apply"),
        ("terraform apply*", "", "az aks"),
        ("make*", "", "docker push"),
        ("install.sh*", "", "kubectl apply"),
        ("kubectl wait inferenceservice*", "the InferenceService is not ready", "curl"),
        ("az acr repository show*", "the registry has no sentiment-predictor", "kubectl wait inferenceservice"),
    ],
)
def test_a_failing_step_stops_the_rest(azure: Stubs, call: str, message: str, never: str) -> None:
    azure.answer(call, status=1)
    status, _, err = up(azure, "prod", "--yes")
    assert status != 0
    assert message in err
    assert azure.calls(never) == []


def test_an_answer_without_a_sentiment_is_no_success(azure: Stubs) -> None:
    azure.answer("curl*", json.dumps({"error": "predictor unavailable", "code": "unavailable"}))
    status, _, err = up(azure, "prod", "--yes")
    assert status != 0
    assert "not with a sentiment" in err


def test_environments_and_own_values_are_asked_for(azure: Stubs) -> None:
    assert "name one environment: dev prod" in up(azure)[2]
    assert "name one environment" in up(azure, "mine")[2]
    (azure.folder.parent / "project" / "infra" / "environments" / "mine.tfvars").unlink()
    assert "copy infra/environments/mine.tfvars.example" in up(azure, "prod")[2]
    assert azure.calls() == []


def test_the_dry_run_calls_nothing(azure: Stubs) -> None:
    status, out, err = up(azure, "prod", "--dry-run")
    assert status == 0, err
    # Asking git for the version and finding the mine.tfvars is all it does.
    assert {call.split()[0] for call in azure.calls()} <= {"git"}
    assert re.findall(r"^== (\w+)$", out, re.MULTILINE) == [
        "state", "plan", "price", "apply", "access", "images", "platform", "manifests", "smoke",
    ]  # fmt: skip


def test_down_asks_and_destroys_what_it_planned(azure: Stubs) -> None:
    status, _, err = up(azure, "prod", stdin="no\n", script="down.sh")
    assert status != 0
    assert "nothing was removed" in err
    assert azure.calls("terraform apply") == []
    status, _, err = up(azure, "prod", stdin="prod\n", script="down.sh")
    assert status == 0, err
    calls = azure.calls("terraform")
    assert position(calls, "plan .*-destroy") < position(calls, r"apply .*destroy\.tfplan")
