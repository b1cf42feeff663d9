"""checkov's findings: none, and a seeded mistake is one."""

from pathlib import Path

import pytest
import yaml
from manifests.checkov_scan import checkov, scan, write_rendered
from manifests.objects import Render, deployments
from support.programs import require


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    require("checkov", Path(checkov()))


def test_rendered_overlays_have_no_finding(tmp_path: Path) -> None:
    write_rendered(tmp_path)
    done = scan(tmp_path, "kubernetes")
    assert done.returncode == 0, done.stdout
    assert "Failed checks: 0" in done.stdout


def test_privileged_container_is_a_finding(tmp_path: Path, rendered: Render) -> None:
    made = deployments(rendered("base"))
    made[0]["spec"]["template"]["spec"]["containers"][0]["securityContext"]["privileged"] = True
    (tmp_path / "seeded.yaml").write_text(yaml.safe_dump_all(made))
    done = scan(tmp_path, "kubernetes")
    assert done.returncode == 1
    assert "CKV_K8S_16" in done.stdout
