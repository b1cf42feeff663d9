"""What a repository offers people: workflows that lint, pins that hold, a release that has notes."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.processes import REPO
from support.programs import require

WORKFLOWS = sorted((REPO / ".github" / "workflows").glob("*.yaml"))
each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)


def load(path: Path) -> dict[Any, Any]:
    content: dict[Any, Any] = yaml.safe_load(path.read_text())
    return content


@pytest.mark.timeout(600)
def test_actionlint_finds_nothing() -> None:
    require("go")
    done = subprocess.run(
        ["make", "--no-print-directory", "lint-workflows"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_actions_are_pinned_by_digest(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    for action, comment in used:
        if action.startswith("./"):
            continue
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v[\d.]+", comment), action


@each
def test_workflow_may_read_and_each_job_asks_for_more_itself(path: Path) -> None:
    content = load(path)
    assert content["permissions"] == {"contents": "read"}
    for name, job in content["jobs"].items():
        assert "timeout-minutes" in job or "uses" in job, name


def commands() -> list[str]:
    """Give every script of every workflow."""
    jobs = [job for path in WORKFLOWS for job in load(path)["jobs"].values()]
    return [step["run"] for job in jobs for step in job.get("steps", []) if "run" in step]


def test_workflows_run_what_people_run() -> None:
    scripts = "\n".join(commands())
    for target in sorted(set(re.findall(r"^\s*make ([\w-]+)", scripts, re.MULTILINE))):
        listed = subprocess.run(["make", "-n", target], cwd=REPO, capture_output=True, text=True, check=False)
        assert listed.returncode == 0, target
    for program in sorted(set(re.findall(r"(\.ci/\w+)", scripts))):
        assert os.access(REPO / program, os.X_OK), program


def test_scripts_take_what_people_can_write_from_the_environment() -> None:
    # An expression is pasted into a script before the shell reads it: a title or a tag could be a command.
    assert [script for script in commands() if "${{" in script] == []


def test_release_prints_the_changelogs_section(tmp_path: Path) -> None:
    changelog = tmp_path / "CHANGELOG.md"
    changelog.write_text("# Changelog\n\n## [Unreleased]\n\n- soon\n\n## [1.2.0]\n\n- this\n\n## [1.1.0]\n\n- that\n")
    done = subprocess.run([REPO / ".ci" / "changelog", "1.2.0", changelog], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "- this\n")


def test_release_without_notes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text("## [1.2.0]\n\n## [1.1.0]\n- that\n")
    done = subprocess.run(
        [REPO / ".ci" / "changelog", "1.2.0", tmp_path / "CHANGELOG.md"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "changelog: there is no section for 1.2.0\n")


def test_hooks_run_programs_that_the_environment_has() -> None:
    (local,) = load(REPO / ".pre-commit-config.yaml")["repos"]
    for hook in local["hooks"]:
        program = hook["entry"].split()[0].removeprefix(".venv/bin/")
        require(program, REPO / ".venv" / "bin" / program)


def test_settings_of_tools_are_json() -> None:
    for path in (REPO / ".github" / "renovate.json", REPO / ".devcontainer" / "devcontainer.json"):
        assert json.loads(path.read_text())


def test_renovate_finds_the_programs_that_workflows_install() -> None:
    managers = json.loads((REPO / ".github" / "renovate.json").read_text())["customManagers"]
    pattern = managers[0]["matchStrings"][0].replace("(?<", "(?P<")
    text = "\n".join(path.read_text() for path in [*WORKFLOWS, REPO / "Makefile"])
    found = {match["depName"]: match["currentValue"] for match in re.finditer(pattern, text)}
    assert {"github.com/rhysd/actionlint", "sigs.k8s.io/kind"} <= found.keys()
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", version) for version in found.values())
