"""The pages for people: commands that run, files that are there, links that lead somewhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes import REPO, TINY_MODEL, free_port, server
from support.programs import require

PAGES = [
    REPO / "CONTRIBUTING.md",
    REPO / "transformer" / "README.md",
    REPO / "predictor" / "README.md",
    REPO / "manifests" / "components" / "monitoring" / "README.md",
    REPO / "manifests" / "components" / "monitoring" / "runbook.md",
]


def commands() -> list[str]:
    """Give every command that stands in a block of these pages."""
    found = []
    for page in PAGES:
        for block in re.findall(r"^```(?:sh)?\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
            found += [line.split("  #")[0].strip() for line in block.splitlines() if line.strip()]
    return found


def test_pages_have_commands() -> None:
    assert {command.split()[0] for command in commands()} == {"make", "python"}


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make ")])
def test_make_knows_the_target(command: str) -> None:
    done = subprocess.run(["make", "--dry-run", *shlex.split(command)[1:]], cwd=REPO, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("python manifests/")])
def test_rendering_gives_the_monitors(command: str) -> None:
    require("kubectl", package="kubernetes-client")
    done = subprocess.run([sys.executable, *shlex.split(command)[1:]], cwd=REPO, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    group = "azmonitoring.coreos.com" if "azure" in command else "monitoring.coreos.com"
    assert f"apiVersion: {group}/v1\nkind: PodMonitor" in done.stdout
    assert ("kind: PrometheusRule" in done.stdout) == ("azure" not in command)


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("python -m ")])
def test_server_starts_as_written(command: str, tmp_path: Path) -> None:
    port = free_port()
    arguments = [re.sub(r"--http_port=\d+", f"--http_port={port}", part) for part in shlex.split(command)[1:]]
    env = {"PREDICTOR_MODEL_DIR": str(TINY_MODEL), "TRANSFORMER_DRAIN_S": "0", "PREDICTOR_THREADS": "1"}
    with server(arguments, port=port, log=tmp_path / "log", ready="/v2/health/ready", env=env) as running:
        assert running.stop() == 0, running.output()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_files_and_anchors_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    anchors = {"#" + heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert target in anchors if target.startswith("#") else (page.parent / target).exists(), target
    for name in re.findall(r"`([\w.-]+(?:/[\w.*-]+)+/?|[\w-]+\.(?:py|md|yaml|mk))`", text):
        if name.startswith(("v1/", "v2/")) or "*" in name:
            continue
        places = (REPO, page.parent, REPO / "transformer", REPO / "predictor")
        assert any((place / name).exists() for place in places), name
