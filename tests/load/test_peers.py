"""The comparison with peers: what k6 counts, what the page says, and that an idle contestant stands still."""

import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.processes import Server

from load.bench.peers.contestants import NAMES, OURS, OURS_INT8, Contestant, PeerError
from load.bench.peers.measure import CASES, PLAIN, Measured, Run, best_peer, differences, load
from load.bench.peers.report import page, plot

RUN = Run(requests_per_s=100.0, texts_per_s=300.0, p50_ms=2.0, p99_ms=40.0, miss_p50_ms=30.0, failed=0)
RATES = dict(zip(NAMES, (600.0, 900.0, 100.0, 80.0, 120.0), strict=True))


def measured() -> Measured:
    runs = {
        case: {
            name: [replace(RUN, requests_per_s=rate * factor) for factor in (1, 2, 3)] for name, rate in RATES.items()
        }
        for case in CASES
    }
    return Measured(runs=runs, difference=dict.fromkeys(NAMES, 1e-4), resident_mb=dict.fromkeys(NAMES, 500.0))


def about(load_before: float = 0.2) -> dict[str, object]:
    contestant = {"version": "1.0", "what": "a way to serve"}
    machine = {"cpu": "EPYC", "cpus": 2, "load_before": load_before}
    return {"machine": machine, "rounds": 3, "seconds": 10, "contestants": dict.fromkeys(NAMES, contestant)}


def test_ratios_are_taken_round_by_round_against_the_named_and_the_best_peer() -> None:
    found = measured()
    assert found.times("mix", OURS, PLAIN) == 6.0
    assert best_peer(found, "mix") == "LitServe + pipeline"
    row = next(line for line in page(found, about=about()).splitlines() if line.startswith(f"| {OURS_INT8} | 1 800"))
    assert row.endswith("| 9.00 | 7.50 |")


def test_the_page_has_every_case_and_contestant() -> None:
    said = page(measured(), about=about())
    for case in CASES.values():
        assert f"## {case.title}" in said
    for name in NAMES:
        assert said.count(f"| {name} |") == len(CASES) + 1


def test_a_busy_machine_is_said_on_the_page() -> None:
    assert "Other work ran" not in page(measured(), about=about())
    assert "load average 7.5 before" in page(measured(), about=about(load_before=7.5))


def test_the_plot_has_every_case_and_contestant(tmp_path: Path) -> None:
    drawn = ET.parse(plot(measured(), tmp_path / "peers.svg")).getroot()
    words = " ".join("".join(element.itertext()) for element in drawn.iter("{http://www.w3.org/2000/svg}text"))
    for name in NAMES:
        assert name in words
    assert words.count("requests/s") == words.count("p99, ms") == len(CASES)


def test_a_wrong_score_shows_as_a_difference() -> None:
    right = [{"NEGATIVE": 0.25, "POSITIVE": 0.75}]
    wrong = [{"NEGATIVE": 0.35, "POSITIVE": 0.65}]
    assert differences({PLAIN: right, OURS: wrong}) == {PLAIN: 0.0, OURS: pytest.approx(0.1)}


@pytest.mark.parametrize(("case", "known"), [("singles", 0.0), ("batches", 0.0), ("hits", 1.0), ("mix", 0.95)])
def test_every_case_asks_known_and_new_texts_in_its_proportion(
    honest: Server, k6: str, case: str, known: float
) -> None:
    contestant = Contestant(name="stand-in", url=f"{honest.url}/predict", key="text")
    run = load(contestant, CASES[case], seconds=1, mark=f"t{case}")
    assert run.failed == 0
    assert run.texts_per_s == pytest.approx(run.requests_per_s * CASES[case].size)
    assert (run.miss_p50_ms is None) == (known == 1.0)
    assert run.p99_ms >= run.p50_ms > 0


def test_a_refused_request_ends_the_comparison(start_stand_in: object, k6: str) -> None:
    with start_stand_in(BUSY_EVERY="5") as running:  # type: ignore[operator]
        contestant = Contestant(name="stand-in", url=f"{running.url}/predict", key="text")
        with pytest.raises(PeerError, match=r"stand-in failed \d+ requests"):
            load(contestant, CASES["singles"], seconds=1, mark="busy")


@contextmanager
def busy_group() -> Iterator[int]:
    running = subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True)
    try:
        yield running.pid
    finally:
        running.kill()
        running.wait()


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_a_held_contestant_takes_no_cpu_until_it_is_let_go() -> None:
    with busy_group() as pid:
        contestant = Contestant(name="busy", url="", key="text", groups=[os.getpgid(pid)])
        contestant.hold()
        time.sleep(0.05)
        before = ticks(pid)
        time.sleep(0.3)
        assert ticks(pid) == before
        contestant.let_go()
        deadline_s = time.monotonic() + 20
        while ticks(pid) == before and time.monotonic() < deadline_s:
            time.sleep(0.02)
        assert ticks(pid) > before
        assert contestant.resident_mb() > 1
