"""A stand-in service on a free port, and k6 runs against it."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.processes import REPO, Server, server
from support.programs import require

from load.machine import k6_binary
from load.run import command
from local.ports import free_port

Start = Callable[..., AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def start_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Start a stand-in with the given flaws until the block ends."""

    def start(**flaws: str) -> AbstractContextManager[Server]:
        port = free_port()
        log = tmp_path_factory.mktemp("stand-in") / "log"
        program = ["tests/load/stand_in.py", str(port)]
        return server(program, port=port, log=log, ready="/health", env={f"STAND_IN_{k}": v for k, v in flaws.items()})

    return start


@pytest.fixture(scope="session")
def honest(start_stand_in: Start) -> Iterator[Server]:
    with start_stand_in() as running:
        yield running


@dataclass(frozen=True)
class Ran:
    """What a k6 run left behind."""

    status: int
    said: str
    result: dict[str, Any] | None
    page: str


@pytest.fixture
def k6_run(tmp_path: Path) -> Callable[..., Ran]:
    """Run a scenario (or an archive) against a URL with settings."""

    def run(scenario: str, url: str, script: Path | None = None, **settings: object) -> Ran:
        out = tmp_path / scenario
        line = command(scenario, prometheus="", quiet=True)
        if script is not None:
            line[-1] = str(script)
        clean = {k: v for k, v in os.environ.items() if k not in {"URL", "HOST", "OUT"}}
        env = {**clean, "URL": url, "OUT": str(out), **{k: str(v) for k, v in settings.items()}}
        done = subprocess.run(line, env=env, capture_output=True, text=True, cwd=REPO, check=False, timeout=90)
        result = out.with_suffix(".json")
        page = out.with_suffix(".html")
        return Ran(
            status=done.returncode,
            said=done.stdout + done.stderr,
            result=json.loads(result.read_text()) if result.exists() else None,
            page=page.read_text() if page.exists() else "",
        )

    return run


@pytest.fixture(scope="session")
def node() -> str:
    return require("node", package="nodejs")


@pytest.fixture(scope="session")
def k6() -> str:
    return k6_binary()
