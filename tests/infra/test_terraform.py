"""The Terraform configuration against the provider's schema, and its promises with a mocked provider."""

import re
import subprocess
from pathlib import Path

import pytest
from infra.offline.workspace import Workspace

INFRA = Path(__file__).resolve().parents[2] / "infra"
SCRIPTS = [INFRA / "up.sh", INFRA / "azure.sh", *sorted((INFRA / "platform").glob("*.sh"))]


def change(workspace: Workspace, file: str, old: str, new: str) -> None:
    path = workspace.root / file
    text = path.read_text()
    assert old in text, f"{file} no longer holds {old!r}"
    path.write_text(text.replace(old, new))


def test_configuration_is_formatted_and_valid(workspace: Workspace) -> None:
    unformatted = workspace.terraform("fmt", "-check", "-recursive", "-list=true")
    assert unformatted.returncode == 0, unformatted.stdout
    done = workspace.validate()
    assert done.returncode == 0, done.stdout
    assert "configuration is valid" in done.stdout


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_promises_hold(workspace: Workspace, environment: str) -> None:
    done = workspace.test(environment)
    assert done.returncode == 0, done.stdout
    assert " 0 failed" in done.stdout


MISSPELT = {
    "unknown argument": ("cluster.tf", "local_account_disabled", "local_accounts_disabled", "Unsupported argument"),
    "argument of the provider's version 4": (
        "cluster.tf",
        "auto_scaling_enabled",
        "enable_auto_scaling",
        "Unsupported argument",
    ),
    "missing required block": (
        "cluster.tf",
        "node_provisioning_profile",
        "auto_scaler_profile",
        "node_provisioning_profile",
    ),
    "wrong type": ("dns.tf", "= 300", '= "five minutes"', "a number is required"),
    "unknown nested argument": ("redis.tf", "client_protocol", "protocol", "Unsupported argument"),
    "unknown exported attribute": ("outputs.tf", "this.login_server", "this.server", "Unsupported attribute"),
    "missing required argument": ("identity.tf", "  issuer ", "  # issuer ", 'The argument "issuer" is required'),
    "resource that does not exist": (
        "redis.tf",
        "azurerm_managed_redis",
        "azurerm_redis_enterprise",
        "azurerm_redis_enterprise",
    ),
}


@pytest.mark.parametrize("mistake", MISSPELT)
def test_the_schema_catches(workspace: Workspace, mistake: str) -> None:
    file, old, new, said = MISSPELT[mistake]
    change(workspace, file, old, new)
    done = workspace.validate()
    assert done.returncode != 0
    assert said in done.stdout, done.stdout


BROKEN_PROMISES = {
    "local accounts": (
        "cluster.tf",
        "local_account_disabled  = true",
        "local_account_disabled  = false",
        "local accounts",
    ),
    "one zone": ("variables.tf", '["1", "2", "3"]', '["1"]', "spans three zones"),
    "shared keys": (
        "storage.tf",
        "shared_access_key_enabled        = false",
        "shared_access_key_enabled = true",
        "identities only",
    ),
    "a role that can push": ("identity.tf", '"AcrPull"', '"AcrPush"', "the least that works"),
    "another's service account": ("identity.tf", ":sentiment-predictor", ":default", "exactly one service account"),
    "nodes outside the budget": ("cost.tf", ', "rg-${local.name}-nodes"', "", "the nodes' resource group"),
    "a moving address": (
        "dns.tf",
        "azurerm_public_ip.gateway.ip_address",
        '"203.0.113.1"',
        "points at the static address",
    ),
    "no audit log": ("monitoring.tf", "kube-audit-admin", "cluster-autoscaler", "must be on record"),
    "Redis keys": ("redis.tf", "authentication_enabled = false", "authentication_enabled = true", "TLS on, keys off"),
    "plaintext Redis": ("redis.tf", '"Encrypted"', '"Plaintext"', "TLS on, keys off"),
    "Redis behind a proxy": (
        "variables.tf",
        'string, "OSSCluster"',
        'string, "NoCluster"',
        "every shard spoken to directly",
    ),
    "public models": ("storage.tf", "= !var.private_endpoints", "= true", "off the internet"),
    "the older service's zone": (
        "private_links.tf",
        "redis.azure.net",
        "redis.cache.windows.net",
        "Managed Redis has this zone",
    ),
    "nodes locked out": (
        "cluster.tf",
        ', [for ip in azurerm_public_ip.nat : "${ip.ip_address}/32"]',
        ", []",
        "must reach the API",
    ),
}


@pytest.fixture(scope="module")
def tests_of_a_broken_configuration(tmp_path_factory: pytest.TempPathFactory, reattach: str) -> str:
    """Break every promise at once, each in its own place, and run the tests once: each must be missed by name."""
    workspace = Workspace(folder=tmp_path_factory.mktemp("broken"), reattach=reattach)
    for file, old, new, _ in BROKEN_PROMISES.values():
        change(workspace, file, old, new)
    done = workspace.test("prod")
    assert done.returncode != 0
    return " ".join(done.stdout.split())


@pytest.mark.parametrize("promise", BROKEN_PROMISES)
def test_a_broken_promise_is_noticed(tests_of_a_broken_configuration: str, promise: str) -> None:
    assert BROKEN_PROMISES[promise][3] in tests_of_a_broken_configuration


def outputs() -> set[str]:
    return set(re.findall(r'^output "(\w+)"', (INFRA / "outputs.tf").read_text(), re.MULTILINE))


def test_outputs_are_exactly_what_scripts_and_templates_take() -> None:
    templates = [p for folder in ("values", "resources") for p in (INFRA / "platform" / folder).iterdir()]
    text = "\n".join(path.read_text() for path in [*SCRIPTS, *templates])
    # The estimate is for people: terraform prints it with every plan.
    unused = {name for name in outputs() - {"monthly_estimate"} if name.upper() not in text}
    assert unused == set()
    keys = re.search(r"SETTINGS_KEYS=\((.*?)\)", (INFRA / "platform" / "lib.sh").read_text(), re.DOTALL)
    assert keys
    assert {key.lower() for key in keys[1].split()} <= outputs()


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_readme_states_the_price_that_the_code_computes(workspace: Workspace, environment: str) -> None:
    report = workspace.cost_report(environment)
    assert f"```text\n{report}\n```" in (INFRA / "README.md").read_text()
    *lines, total = [float(line.split()[-1]) for line in report.splitlines()[1:]]
    assert sum(lines) == pytest.approx(total, abs=0.05)


def test_every_price_says_when_and_from_where() -> None:
    rows = (INFRA / "prices" / "azure.csv").read_text().splitlines()
    assert rows[0] == "key,location,unit,usd,as_of,source"
    for row in rows[1:]:
        _, _, _, usd, as_of, source = row.split(",")
        assert float(usd) > 0
        assert re.fullmatch(r"20\d\d(-\d\d-\d\d)?", as_of)
        assert source


def test_versions_stand_in_one_file() -> None:
    text = (INFRA / "platform" / "versions.env").read_text()
    versions = [v.lstrip("v") for v in re.findall(r"^[A-Z_]+_VERSION=(\S+)$", text, re.MULTILINE) if "." in v]
    names = re.compile(rf"(?<![\d.])v?({'|'.join(map(re.escape, versions))})(?![\d.]*\d)")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "infra"]
    files = subprocess.run(listed, cwd=INFRA.parent, capture_output=True, text=True, check=True).stdout.splitlines()
    # The single node pins what Go modules there are, held to this file by tests of its own.
    files = [name for name in files if not name.startswith("infra/single-node/")]
    assert len(files) > 30
    # The minors that may be chosen are bounds, not a choice.
    bounds = re.compile(r'contains\(\["1\.\d\d".*|must be a minor version that .*')
    elsewhere = {
        name: found
        for name in files
        if not name.endswith("versions.env")
        and (found := names.findall(bounds.sub("", (INFRA.parent / name).read_text())))
    }
    assert elsewhere == {}
