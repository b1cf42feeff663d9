"""The report page, from results as files and as log lines."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.processes import REPO

from load.report import PUBLISHED, seed_comparison, write_report
from load.results import LOG_PREFIX, passed, read_results


def latency(p99_ms: float, count: int = 100) -> dict[str, float]:
    keys = ("mean_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms")
    return {"count": count, **dict.fromkeys(keys, p99_ms / 2), "p99_ms": p99_ms}


def result(scenario: str = "cache_mix", finished_at: str = "2026-01-02T03:04:05Z", **changes: Any) -> dict[str, Any]:
    window = {"start_s": 0, "length_s": 10, "requests": 50, "failed_share": 0, "hit_share": 0.9, "latency": latency(9)}
    base: dict[str, Any] = {
        "schema": 1,
        "scenario": scenario,
        "finished_at": finished_at,
        "planned_s": 20,
        "measured_s": 20,
        "settings": {"RATE": 5},
        "notes": ["said in passing"],
        "machine": {"cpus": 2},
        "requests": {"count": 100, "per_s": 5, "failed_share": 0.01, "statuses": {"200": 99, "503": 1}},
        "texts": {"count": 100, "per_s": 5},
        "dropped": 0,
        "latency": {"all": latency(12), "hit": latency(3), "partial": None, "miss": latency(44), "refused": None},
        "cache": {"hit_share": 0.9, "as_expected_share": 1, "expected_hit_share": 0.9},
        "windows": [window, {**window, "start_s": 10, "latency": None, "hit_share": None}],
        "steps": [],
        "checks": [{"name": "sound", "passes": 9, "fails": 1}],
        "thresholds": [{"metric": "predict_failed", "expression": "rate<=0.001", "ok": False}],
    }
    return {**base, **changes}


def test_the_report_shows_every_run_its_broken_rules_and_its_plots(tmp_path: Path) -> None:
    page = write_report([result(), result("zipf", "2026-01-02T04:00:00Z", thresholds=[])], tmp_path).read_text()
    assert "| cache_mix 2026-01-02 03:04 | failed |" in page
    assert "| zipf 2026-01-02 04:00 | passed |" in page
    assert "broken: `predict_failed rate<=0.001`" in page
    assert "wrong: sound (1 times)" in page
    assert "said in passing" in page
    assert "| miss | 100 | 22.0 | 22.0 | 22.0 | 44.0 | 22.0 |" in page
    for plot in ("latency.svg", "over-time-1-cache_mix.svg", "over-time-2-zipf.svg"):
        assert plot in page
        assert (tmp_path / plot).stat().st_size > 1000


def test_the_same_results_give_the_same_files(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_report([result()], tmp_path / folder)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_the_seed_stands_beside_its_published_figures_with_what_is_not_known() -> None:
    page = seed_comparison(result("seed", notes=["321.0 requests/s while 10 clients ran"]))
    published = json.loads(PUBLISHED.read_text())
    for phase in published["phases"]:
        assert f"< {phase['p99_below_ms']}" in page
    assert "< 140" in page
    assert "321.0 requests/s while 10 clients ran" in page
    assert "Not known: node type" in page


def test_results_come_oldest_first_from_folders_files_and_logs(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps(result(finished_at="2026-01-03T00:00:00Z")))
    log = tmp_path / "runner.log"
    old = result(finished_at="2026-01-01T00:00:00Z")
    log.write_text(f"noise\ntime=x {LOG_PREFIX}{json.dumps(old)}\nmore noise\n")
    assert [each["finished_at"][:10] for each in read_results([tmp_path, log])] == ["2026-01-01", "2026-01-03"]


def test_files_that_hold_no_result_are_named(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"schema": 99}')
    with pytest.raises(ValueError, match=r"other\.json is not a result"):
        read_results([other])
    log = tmp_path / "empty.log"
    log.write_text("nothing")
    with pytest.raises(ValueError, match=r"empty\.log holds no line"):
        read_results([log])


def test_a_run_passed_when_all_its_thresholds_held() -> None:
    assert not passed(result())
    assert passed(result(thresholds=[{"metric": "m", "expression": "e", "ok": True}]))


def test_the_command_says_when_there_is_nothing_to_report(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "load.report", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(line, cwd=REPO, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "run `make load` first" in done.stderr


def test_every_committed_result_can_be_read() -> None:
    folder = REPO / "load" / "reports"
    results = read_results(sorted((folder / "runs").glob("*.json")))
    assert {"seed"} <= {each["scenario"] for each in results}
