"""Real k6 against a stand-in service: scenarios pass when it keeps the contract, and fail when it does not."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import yaml
from support.processes import REPO, Server

from load.results import read_results
from local.ports import free_port

QUICK = {"DURATION_S": 2, "RATE": 30, "HOT": 20}


def test_smoke_passes_and_leaves_text_json_and_a_page_of_its_own(honest: Server, k6_run: Callable) -> None:  # type: ignore[type-arg]
    ran = k6_run("smoke", honest.url, DURATION_S=2)
    assert ran.status == 0, ran.said
    assert "smoke: passed" in ran.said
    assert ran.result["requests"]["failed_share"] == 0
    assert ran.result["cache"]["as_expected_share"] == 1
    assert sum(window["requests"] for window in ran.result["windows"]) == ran.result["requests"]["count"]
    assert "<svg" in ran.page
    assert not [mark for mark in ("<script", "http://", "src=", "@import") if mark in ran.page.replace(honest.url, "")]


def test_the_hit_ratio_is_the_one_asked_for_and_the_same_in_the_next_run(honest: Server, k6_run: Callable) -> None:  # type: ignore[type-arg]
    shares = []
    for _ in range(2):
        ran = k6_run("cache_mix", honest.url, HIT_RATE=0.7, HIT_TOLERANCE=0.15, RUN_ID="", **QUICK)
        assert ran.status == 0, ran.said
        assert ran.result["cache"]["as_expected_share"] == 1
        shares.append((ran.result["requests"]["count"], ran.result["latency"]["hit"]["count"]))
    # The iterations that both runs reached hit alike; a run may send one more at its end.
    assert abs(shares[0][1] - shares[1][1]) <= abs(shares[0][0] - shares[1][0])


@pytest.mark.parametrize(
    ("scenario", "settings"),
    [
        ("baseline", {"RATES": "20,40", "DURATION_S": 2, "HOT": 20}),
        ("zipf", {"DURATION_S": 4, "RATE": 20}),
        ("batch", {"SIZES": "1,16", "DURATION_S": 2, "RATE": 32, "HOT": 20}),
        ("spike", {"DURATION_S": 6, "RATE": 5, "HOT": 20}),
        ("breakpoint", {"DURATION_S": 4, "RATE": 5, "PEAK_FACTOR": 4, "HOT": 20}),
        ("soak", QUICK),
        ("saturate", {"DURATION_S": 2, "VUS": 2, "HOT": 20}),
        ("seed", {"DURATION_S": 6}),
        ("bad_input", {"DURATION_S": 3}),
    ],
)
def test_the_scenario_passes_against_an_honest_service(
    honest: Server,
    k6_run: Callable,  # type: ignore[type-arg]
    scenario: str,
    settings: dict[str, object],
) -> None:
    ran = k6_run(scenario, honest.url, **settings)
    assert ran.status == 0, ran.said
    assert ran.result["requests"]["count"] > 0
    assert ran.result["dropped"] == 0
    assert all(rule["ok"] for rule in ran.result["thresholds"])


def test_the_seeds_random_branch_hits_a_cache_by_text(honest: Server, k6_run: Callable) -> None:  # type: ignore[type-arg]
    ran = k6_run("seed", honest.url, DURATION_S=6)
    outcomes = {step["step"]: step["hit_share"] for step in ran.result["steps"]}
    assert outcomes["fixed"] == 1
    assert outcomes["random"] > 0.5


@pytest.mark.parametrize(
    ("flaws", "scenario", "settings", "complaint"),
    [
        ({"CACHE": "liar"}, "smoke", {}, "asked for the first time is hit"),
        ({"CACHE": "liar"}, "cache_mix", {**QUICK, "HIT_RATE": 0.5}, "BROKEN cache_hit rate<="),
        ({"CACHE": "silent"}, "smoke", {}, "not a miss"),
        ({"UNSORTED": "1"}, "cache_mix", {**QUICK, "VERIFY": 1}, "one sound prediction per text"),
        ({"BUSY_EVERY": "3"}, "cache_mix", {**QUICK, "HIT_RATE": 0}, "BROKEN predict_failed"),
        ({"MISS_MS": "60"}, "cache_mix", {**QUICK, "HIT_RATE": 0, "P99_MISS_MS": 50}, "BROKEN predict_duration"),
        ({"MISS_MS": "500"}, "cache_mix", {**QUICK, "HIT_RATE": 0, "MAX_VUS": 5}, "BROKEN dropped_iterations"),
        ({"API_KEY": "right"}, "smoke", {"API_KEY": "wrong"}, "answered 401"),
    ],
)
def test_a_service_that_breaks_the_contract_fails_the_run(
    start_stand_in: Callable,  # type: ignore[type-arg]
    k6_run: Callable,  # type: ignore[type-arg]
    flaws: dict[str, str],
    scenario: str,
    settings: dict[str, object],
    complaint: str,
) -> None:
    with start_stand_in(**flaws) as running:
        ran = k6_run(scenario, running.url, **{"DURATION_S": 2, **settings})
    assert ran.status != 0
    assert complaint in ran.said


def test_a_503_counts_as_failed_with_its_own_latency(start_stand_in: Callable, k6_run: Callable) -> None:  # type: ignore[type-arg]
    with start_stand_in(BUSY_EVERY="2") as running:
        ran = k6_run("cache_mix", running.url, HIT_RATE=0, **QUICK)
    refused = ran.result["latency"]["refused"]["count"]
    assert refused == ran.result["requests"]["statuses"]["503"] > 0
    assert ran.result["requests"]["failed_share"] == pytest.approx(0.5, abs=0.02)


def test_host_header_and_api_key_reach_a_route_without_dns(start_stand_in: Callable, k6_run: Callable) -> None:  # type: ignore[type-arg]
    with start_stand_in(HOST="sentiment.example.com", API_KEY="right") as running:
        ran = k6_run("smoke", running.url, HOST="sentiment.example.com", API_KEY="right", DURATION_S=2)
    assert ran.status == 0, ran.said
    assert "right" not in json.dumps(ran.result["settings"])


def test_a_wrong_setting_ends_the_run_with_its_name(honest: Server, k6_run: Callable) -> None:  # type: ignore[type-arg]
    ran = k6_run("cache_mix", honest.url, RATE="fast")
    assert ran.status != 0
    assert "RATE must be a number" in ran.said


def test_load_run_writes_results_and_the_machine(honest: Server, tmp_path: Path) -> None:
    line = [sys.executable, "-m", "load.run", "smoke", "--url", honest.url, "--results", str(tmp_path), "--quiet"]
    done = subprocess.run(line, cwd=REPO, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = read_results([tmp_path])
    assert result["machine"]["cpus"] >= 1
    assert result["machine"]["k6"].startswith("v")
    assert len(list(tmp_path.glob("*-smoke.html"))) == 1


def test_load_run_says_when_nothing_answers(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    line = [sys.executable, "-m", "load.run", "smoke", "--url", url, "--results", str(tmp_path)]
    done = subprocess.run(line, cwd=REPO, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert f"nothing answers at {url}" in done.stderr


def test_the_testrun_carries_a_runnable_archive_and_its_log_can_be_reported(
    honest: Server,
    k6_run: Callable,  # type: ignore[type-arg]
    tmp_path: Path,
) -> None:
    line = [sys.executable, "-m", "load.testrun", "smoke", "--url", honest.url, "--namespace", "there"]
    env = {"PATH": "/usr/bin:/bin", "DURATION_S": "2", "RATE": "11", "API_KEY": "a-secret-key"}
    done = subprocess.run(line, cwd=REPO, env=env, capture_output=True, text=True, check=True, timeout=60)
    config, run = yaml.safe_load_all(done.stdout)
    assert run["spec"]["script"]["configMap"] == {"name": config["metadata"]["name"], "file": "archive.tar"}
    assert {config["metadata"]["namespace"], run["metadata"]["namespace"]} == {"there"}
    packed = tmp_path / "archive.tar"
    packed.write_bytes(base64.b64decode(config["binaryData"]["archive.tar"]))
    assert b"a-secret-key" not in packed.read_bytes()
    ran = k6_run("smoke", honest.url, script=packed, JSON_LOG="true")
    assert ran.status == 0, ran.said
    assert ran.result["settings"]["RATE"] == 11
    log = tmp_path / "runner.log"
    log.write_text(ran.said)
    assert read_results([log]) == [ran.result]


# Field names of the k6 operator's API: grafana/k6-operator api/v1alpha1/testrun_types.go (TestRunSpec, Pod, K6Script).
SPEC_FIELDS = {"script", "parallelism", "separate", "arguments", "ports", "initializer", "starter", "runner", "quiet"}
POD_FIELDS = {
    *("affinity", "env", "envFrom", "image", "imagePullPolicy", "metadata", "nodeSelector", "tolerations"),
    *("resources", "serviceAccountName", "securityContext", "containerSecurityContext", "volumes", "volumeMounts"),
}


def test_the_testrun_uses_fields_the_operator_knows_and_runs_unprivileged() -> None:
    run = yaml.safe_load((REPO / "load" / "k8s" / "testrun.yaml").read_text())
    assert (run["apiVersion"], run["kind"]) == ("k6.io/v1alpha1", "TestRun")
    assert set(run["spec"]) <= SPEC_FIELDS
    for pod in ("runner", "starter", "initializer"):
        assert set(run["spec"][pod]) <= POD_FIELDS
        security = run["spec"][pod]["containerSecurityContext"]
        assert security == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert run["spec"]["runner"]["securityContext"]["runAsNonRoot"] is True


class Receiver(BaseHTTPRequestHandler):
    """Takes Prometheus remote writes and notes their headers."""

    seen: ClassVar[list[tuple[str, str | None, int]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((self.path, self.headers["content-encoding"], len(body)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


def test_metrics_are_streamed_by_remote_write_when_asked_for(honest: Server, tmp_path: Path) -> None:
    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=receiver.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{receiver.server_address[1]}/api/v1/write"
        line = [sys.executable, "-m", "load.run", "smoke", "--url", honest.url, "--results", str(tmp_path)]
        env = {**os.environ, "DURATION_S": "2"}
        words = [*line, "--quiet", "--prometheus", url]
        done = subprocess.run(words, cwd=REPO, env=env, capture_output=True, text=True, check=False, timeout=90)
    finally:
        receiver.shutdown()
        thread.join()
        receiver.server_close()
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("/api/v1/write", "snappy") in {(path, encoding) for path, encoding, _ in Receiver.seen}
    assert sum(size for _, _, size in Receiver.seen) > 1000
