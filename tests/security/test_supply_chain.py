"""Static looks at the code: bandit, secrets in the tree, what images and dependencies may do."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import REPO
from support.programs import require

BANDIT_SKIPS = {
    "B101": "asserts narrow types for mypy; nothing rests on them",
    "B105": "what a tokenizer calls tokens are words, not secrets; detect-secrets looks for those",
    "B112": "of several shards asked, one that answers is enough; their health says what is wrong",
    "B311": "jitter of lives and retries guards nothing",
    "B615": "the reference engine loads a local directory, local_files_only",
}
# Digests of what looks like a secret and is none, as detect-secrets writes them, with the reason.
KNOWN = {
    "4e08233b2b7b4a03359fb2aa7d4489d0fcdef104": "a package's hash",  # pragma: allowlist secret
    "158b484ae1f6f64f89da22397d25fbdafad02252": "a made-up revision in a test's hub",  # pragma: allowlist secret
    "11d33efc2208b4c342269d8da7cde286f9681f0f": "the trace id of W3C's example",  # pragma: allowlist secret
}


def test_bandit_finds_nothing() -> None:
    bandit = require("bandit", Path(sys.executable).with_name("bandit"))
    run = subprocess.run(
        [bandit, "-q", "-r", "-f", "json", "--skip", ",".join(BANDIT_SKIPS), "predictor", "transformer", "serving"],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = json.loads(run.stdout)
    assert said["metrics"]["_totals"]["loc"] > 1_000
    assert [(each["test_id"], each["filename"], each["line_number"]) for each in said["results"]] == []


def secret_scanner() -> str:
    name = "detect-secrets"
    return require(name, REPO / ".tools" / "bin" / name, Path(sys.executable).with_name(name))


@pytest.mark.timeout(900)
def test_no_secret_lies_in_the_tree() -> None:
    scanner = secret_scanner()
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=REPO, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    # Weights, and reports of runs, whose model versions are hexadecimal.
    measured = ("model-artifacts/", "load/reports/")
    files = [name for name in listed if not name.startswith(measured) and (REPO / name).is_file()]
    assert len(files) > 50
    # The keyword detector calls every mention of a secret's name a secret.
    run = subprocess.run(
        [scanner, "scan", "--disable-plugin", "KeywordDetector", *files], cwd=REPO, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    found = [
        (file, each["line_number"], each["type"])
        for file, hits in json.loads(run.stdout)["results"].items()
        for each in hits
        if each["hashed_secret"] not in KNOWN
    ]
    assert found == []


def test_scanner_would_find_a_secret(tmp_path: Path) -> None:
    scanner = secret_scanner()
    (tmp_path / "leak.py").write_text('KEY = "' + "AKIA" + "QWERTYUIOPASDFGH" + '"\n')
    run = subprocess.run(
        [scanner, "scan", "--disable-plugin", "KeywordDetector", "leak.py", "--all-files"], cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "leak.py" in json.loads(run.stdout)["results"]


def test_pods_have_no_capability_and_a_read_only_root() -> None:
    manifest = (REPO / "manifests" / "install.yaml").read_text()
    containers = manifest.count("image: ")
    assert containers >= 3
    for line in ("readOnlyRootFilesystem: true", "allowPrivilegeEscalation: false", "runAsNonRoot: true"):
        assert manifest.count(line) >= containers, line
    assert len(re.findall(r"drop:\s*(\[ALL\]|- ALL)", manifest)) >= containers
    assert "automountServiceAccountToken: false" in manifest


def test_every_dependency_is_pinned() -> None:
    lines = (REPO / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 50
    assert [line for line in pins if not re.fullmatch(r"[A-Za-z0-9._-]+==[^=\s]+", line)] == []
