"""What manifests/README.md says is so: its patches apply, its tables are complete."""

import fnmatch
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from manifests.objects import Document, Render, component, the
from support.programs import require

from manifests.render import choices, parse_settings

MANIFESTS = Path(__file__).parents[2] / "manifests"
README = (MANIFESTS / "README.md").read_text()

# Everything in one-quoted `--patch='...'`, with the kind and name it is for.
PATCHES = re.findall(
    r"patch (inferenceservice|authorizationpolicy) (\S+) --type=json\s*\\?\s*--patch='(.+?)'", README, re.DOTALL
)


def table(first_cell: str) -> list[list[str]]:
    """Rows of the table whose heading starts with that cell."""
    rows: list[list[str]] = []
    for line in README.partition(f"| {first_cell} |")[2].splitlines()[2:]:
        if not line.startswith("|"):
            return rows
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def patched(document: Document, patch: str, folder: Path) -> Document:
    """The document after `kubectl patch` without a cluster."""
    file = folder / "document.yaml"
    file.write_text(yaml.safe_dump(document))
    command = [
        require("kubectl"),
        "patch",
        "--local",
        f"--filename={file}",
        "--type=json",
        f"--patch={patch}",
        "--output=json",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: Document = json.loads(done.stdout)
    return result


def test_all_patches_of_the_page_were_found() -> None:
    assert len(PATCHES) == README.count("--type=json") == 5


def test_patches_apply_in_the_pages_order(tmp_path: Path, rendered: Render) -> None:
    documents = rendered("prod", "api-key")
    service = the(documents, "InferenceService", "sentiment")
    policy = the(documents, "AuthorizationPolicy", "sentiment-require-api-key")
    restart, canary, done, rollback, keys = [patch for _, _, patch in PATCHES]

    assert (
        patched(service, restart, tmp_path)["spec"]["transformer"]["annotations"]["sentiment/restarted"] == "2026-01-01"
    )

    split = patched(service, canary, tmp_path)
    assert split["spec"]["predictor"]["canaryTrafficPercent"] == 10
    assert split["spec"]["predictor"]["containers"][0]["image"] == "example.azurecr.io/sentiment-predictor:1.3.0"
    assert split["spec"]["transformer"] == service["spec"]["transformer"], "the predictor goes first"

    assert "canaryTrafficPercent" not in patched(split, done, tmp_path)["spec"]["predictor"]
    assert patched(split, rollback, tmp_path)["spec"]["predictor"]["canaryTrafficPercent"] == 0
    assert len(patched(policy, keys, tmp_path)["spec"]["rules"][0]["when"][0]["notValues"]) == 2


def test_objects_table_names_everything_that_is_applied(rendered: Render) -> None:
    listed: dict[str, list[str]] = {}
    for cell, _ in table("object"):
        for kind, names in re.findall(r"([A-Z]\w+(?:, [A-Z]\w+)*) ((?:`[^`]+`(?:, )?)+)", cell):
            for one in kind.split(", "):
                listed.setdefault(one, []).extend(re.findall(r"`([^`]+)`", names))
    for document in [*rendered("local"), *rendered("dev")]:
        kind, name = document["kind"], document["metadata"]["name"]
        assert any(fnmatch.fnmatch(name, pattern) for pattern in listed.get(kind, [])), (
            f"{kind} {name} is not in the table"
        )


@pytest.mark.parametrize("name", ["local", "dev", "prod"])
def test_overlays_table_has_the_right_numbers(rendered: Render, name: str) -> None:
    (row,) = [row for row in table("overlay") if row[0] == f"`{name}`"]
    bounds = [
        (component(rendered(name), part)["minReplicas"], component(rendered(name), part)["maxReplicas"])
        for part in ("transformer", "predictor")
    ]
    assert re.findall(r"(\d+) to (\d+)", row[2]) == [(str(least), str(most)) for least, most in bounds]
    assert (row[3] == "Azure Managed Redis") == (
        not [one for one in rendered(name) if one["metadata"]["name"] == "sentiment-redis"]
    )


def test_components_table_is_complete() -> None:
    named = {name for row in table("component") for name in re.findall(r"`([^`]+)`", row[0])}
    assert set(choices("components")) - {"model-download"} <= named


def test_settings_that_the_page_sets_exist() -> None:
    known = parse_settings((MANIFESTS / "settings" / "settings.env").read_text())
    assert set(re.findall(r"--set (\w+)=", README)) <= known.keys()


def test_secret_of_the_page_has_the_keys_that_the_pods_read(rendered: Render) -> None:
    made = set(re.findall(r"--from-literal=([\w-]+)=", README))
    read = set(re.findall(r"'secretKeyRef': \{'key': '([\w-]+)', 'name': 'sentiment-cache'\}", str(rendered("local"))))
    assert made == read == {"redis-password", "hash-secret"}


def test_limits_of_the_page_are_the_filters(rendered: Render) -> None:
    patches = the(rendered("dev"), "EnvoyFilter", "sentiment-limits")["spec"]["configPatches"]
    rate, body = [patch["patch"]["value"]["typed_config"] for patch in patches]
    bucket = rate["descriptors"][0]["token_bucket"]
    assert f"{bucket['tokens_per_fill']} requests a second (bursts of {bucket['max_tokens']})" in README
    assert f"{body['extension_config']['typed_config']['max_request_bytes'] >> 20} MiB a body" in README


def test_links_of_the_page_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (MANIFESTS / target).exists(), target
