"""Static checks: shellcheck on every script, checkov on the configuration."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from support.programs import require

REPO = Path(__file__).resolve().parents[2]
INFRA = REPO / "infra"
SCRIPTS = sorted([*INFRA.glob("*.sh"), *(INFRA / "platform").glob("*.sh"), *Path(__file__).parent.glob("*.sh")])
# What dev gives up for its price; production passes all three.
GIVEN_UP_BY_DEV = {"CKV_AZURE_163", "CKV_AZURE_170", "CKV2_AZURE_33"}


def checkov() -> str:
    beside = Path(os.environ.get("TOOLS", REPO / ".tools")) / "bin" / "checkov"
    return require("checkov", REPO / beside)


def scan(environment: str) -> tuple[set[str], int]:
    """Give the failed checks and how many passed."""
    values = INFRA / "environments" / f"{environment}.tfvars"
    options = ["--framework", "terraform", "--quiet", "--compact", "--skip-download", "--output", "json"]
    done = subprocess.run(
        [checkov(), "--directory", str(INFRA), "--var-file", str(values), *options],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    return {check["check_id"] for check in report["results"]["failed_checks"]}, report["summary"]["passed"]


def test_scripts_pass_shellcheck_and_run() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    done = subprocess.run(
        [str(shellcheck), "-x", "-P", "SCRIPTDIR", *map(str, SCRIPTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    for script in SCRIPTS:
        # What is only sourced has no interpreter line and must not look like a program.
        assert os.access(script, os.X_OK) == script.read_text().startswith("#!/usr/bin/env bash")


def test_checkov_finds_nothing_in_production() -> None:
    failed, passed = scan("prod")
    assert failed == set()
    assert passed > 40


def test_dev_gives_up_three_checks_and_no_more() -> None:
    assert scan("dev")[0] == GIVEN_UP_BY_DEV


def test_every_skip_has_a_reason_that_can_be_read() -> None:
    skips = re.findall(r"#checkov:skip=(\w+):?(.*)", "\n".join(p.read_text() for p in INFRA.glob("*.tf")))
    assert len(skips) > 5
    assert [check for check, reason in skips if len(reason.split()) < 3] == []
