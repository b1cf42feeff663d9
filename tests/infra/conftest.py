import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from infra.healthy import answer_as_healthy
from infra.offline.workspace import Workspace, provider
from infra.stubs import Stubs
from support.programs import require

SETTINGS = {
    "NAMESPACE": "sentiment",
    "DOMAIN": "ml.example.com",
    "REGISTRY": "crsentiment.azurecr.io",
    "RESOURCE_GROUP": "rg-sentiment-prod",
    "SUBSCRIPTION_ID": "00000000-0000-0000-0000-000000000000",
    "GATEWAY_IP": "198.51.100.10",
    "GATEWAY_IP_NAME": "pip-sentiment-prod-gateway",
    "CERTIFICATE_ISSUER": "letsencrypt",
    "CONTACT_EMAIL": "ops@example.com",
    "CERT_MANAGER_CLIENT_ID": "33333333-3333-3333-3333-333333333333",
    "PROMETHEUS": "managed",
    "NODE_PROVISIONING": "pool",
    "AVAILABILITY": "zonal",
    "NAME_SERVERS": "ns1-01.azure-dns.com. ns2-01.azure-dns.net.",
}


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Path]:
    def make(**changed: str) -> Path:
        path = tmp_path / "settings.env"
        path.write_text("".join(f"{key}={value}\n" for key, value in (SETTINGS | changed).items() if value != "-"))
        return path

    return make


@pytest.fixture
def stubs(tmp_path: Path) -> Stubs:
    return Stubs(folder=tmp_path / "stubs", names=("helm", "kubectl", "getent"))


@pytest.fixture
def cluster(stubs: Stubs) -> Stubs:
    """A cluster on which everything succeeds and Helm has installed nothing yet."""
    versions = (Path(__file__).resolve().parents[2] / "infra" / "platform" / "versions.env").read_text()
    serving = re.search(r"^KNATIVE_SERVING_VERSION=(\S+)$", versions, re.MULTILINE)
    assert serving
    answer_as_healthy(stubs, serving_version=serving[1])
    stubs.answer("helm version*", "v3.18.4")
    stubs.answer("helm history*", "Error: release: not found", status=1)
    return stubs


@pytest.fixture(scope="session")
def reattach() -> Iterator[str]:
    require("terraform")
    with provider() as found:
        yield found


@pytest.fixture
def workspace(tmp_path: Path, reattach: str) -> Workspace:
    return Workspace(folder=tmp_path, reattach=reattach)
