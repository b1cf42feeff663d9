"""A real Prometheus on this machine, for tests and for the dashboards' preview: start, scrape, query, stop."""

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from local.ports import free_port

START_LIMIT_S = 20
MISSING = "prometheus is not on PATH (Debian: apt-get install prometheus)"


@dataclass(frozen=True, kw_only=True)
class Target:
    """What to scrape, and the labels its series get."""

    job: str
    port: int
    labels: Mapping[str, str]


class Prometheus:
    """A Prometheus process with its data in a folder of the caller's; use it as a context manager.

    Args:
        folder: takes configuration, data and log.
        targets: scraped on loopback, path ``/metrics``.
        rule_groups: in Prometheus's own form.
        interval_s: how often it scrapes and evaluates, in whole seconds.

    Raises:
        FileNotFoundError: there is no Prometheus.
    """

    def __init__(
        self,
        *,
        folder: Path,
        targets: Sequence[Target],
        rule_groups: Sequence[Mapping[str, Any]] = (),
        interval_s: int = 1,
    ) -> None:
        executable = shutil.which("prometheus")
        if executable is None:
            raise FileNotFoundError(MISSING)
        self._executable = executable
        self._folder = folder
        self._config = _config(targets, interval_s)
        self._rules = {"groups": [{**group, "interval": f"{interval_s}s"} for group in rule_groups]}
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(self._config))
        (self._folder / "rules.yml").write_text(yaml.safe_dump(self._rules))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        log = self._folder / "prometheus.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [
                    self._executable,
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                    "--log.level=warn",
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__(None, None, None)
                raise RuntimeError(f"Prometheus did not start:\n{log.read_text()}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Give an expression's series now; raises ValueError with Prometheus's message if it cannot be read."""
        result: list[dict[str, Any]] = self._ask("query", query=expr)["result"]
        return result

    def query_range(self, expr: str, *, start_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        """Give an expression's series over a span of wall-clock time."""
        asked = self._ask("query_range", query=expr, start=str(start_s), end=str(end_s), step=str(step_s))
        result: list[dict[str, Any]] = asked["result"]
        return result

    def healthy_targets(self) -> set[str]:
        """Give the jobs whose last scrape succeeded."""
        return {target["labels"]["job"] for target in self._ask("targets")["activeTargets"] if target["health"] == "up"}

    def _ask(self, what: str, **parameters: str) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            with refused:
                raise ValueError(json.load(refused)["error"]) from None
        return data

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _config(targets: Sequence[Target], interval_s: int) -> dict[str, Any]:
    return {
        "global": {"scrape_interval": f"{interval_s}s", "evaluation_interval": f"{interval_s}s"},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {
                "job_name": target.job,
                "static_configs": [{"targets": [f"127.0.0.1:{target.port}"], "labels": dict(target.labels)}],
            }
            for target in targets
        ],
    }
