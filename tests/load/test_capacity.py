"""Fits, curve, cost, advice and the commands of the capacity plan."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.processes import REPO

from load.capacity import quota, sizes
from load.capacity.__main__ import parser
from load.capacity.cli import ROUTE, scenario_of
from load.capacity.cost import NODES, Prices
from load.capacity.curve import curve, machine_capacity, mean_chars, p99_at, predictor_request_s, stage_capacities
from load.capacity.fit import fit_costs
from load.capacity.kpa import KpaSettings
from load.capacity.pod_size import Fleet, cheapest, effective_cpus
from load.capacity.recommend import Candidate, Slo, best, candidates, cost_per_million, dollars_per_hour
from load.capacity.route import hops_of
from load.capacity.service import ServiceTimes
from load.capacity.simulate import Scenario, StageSettings, simulate
from load.capacity.validate import fixed, predicted
from load.capacity.workload import Mix, constant, stages

TIMES = ServiceTimes(
    hit_request_s=0.0002,
    forward_request_s=0.0008,
    text_s=0.0,
    batch_s=0.002,
    predict_request_s=0.0005,
    char_s=0.00005,
    redis_forward_s=0.0001,
)
PRICES = Prices(node=NODES["D4ads_v6"], transformer_vcpus=1, predictor_vcpus=2, packing=1.0)


def test_a_fit_finds_the_costs_behind_exact_observations() -> None:
    rows = [(100.0, 100.0, 3000.0), (20.0, 320.0, 9000.0), (50.0, 50.0, 20000.0), (400.0, 400.0, 1000.0)]
    costs = (0.002, 0.0005, 0.00005)
    seconds = [sum(count * cost for count, cost in zip(row, costs, strict=True)) for row in rows]
    assert fit_costs(rows, seconds) == pytest.approx(costs, rel=1e-6)


def test_a_fit_never_gives_a_negative_cost() -> None:
    # Without the bound, least squares would make the second unit earn time.
    fitted = fit_costs([(1.0, 10.0), (2.0, 10.0), (3.0, 10.0)], [1.0, 2.2, 3.3])
    assert (fitted >= 0).all()


def test_a_fit_refuses_too_few_or_empty_observations() -> None:
    with pytest.raises(ValueError, match="observations"):
        fit_costs([(1.0, 2.0)], [1.0])
    with pytest.raises(ValueError, match="observation"):
        fit_costs([(1.0,), (2.0,)], [1.0, 0.0])


def test_kernels_cost_what_the_first_batch_of_a_size_takes_beyond_the_second() -> None:
    met: set[int] = set()

    def ask(texts: Sequence[str]) -> float:
        new = len(texts) not in met
        met.add(len(texts))
        hiccup_s = 1.0 if len(texts) == 7 and not new else 0.0
        return 0.001 * len(texts) + hiccup_s + (0.004 if new else 0.0)

    measured = sizes.first_batches(ask)
    assert [each.texts for each in measured] == list(range(1, sizes.MOST_TEXTS + 1))
    assert sizes.size_s(measured) == pytest.approx(0.004)


def test_pods_that_are_not_new_have_their_kernels() -> None:
    new = dataclasses.replace(TIMES, size_s=0.5)
    assert p99_at(new, 0.0, rate_per_s=20, predictors=1, duration_s=30) == p99_at(
        TIMES, 0.0, rate_per_s=20, predictors=1, duration_s=30
    )
    load = {"rate_per_s": 20.0, "hit_share": 0.0, "duration_s": 10.0}
    assert predicted(new, **load, predictor=fixed(1)) == predicted(TIMES, **load, predictor=fixed(1))


def test_capacities_follow_from_service_times() -> None:
    transformer, predictor = stage_capacities(TIMES, 0.9)
    assert transformer == pytest.approx(1 / (0.9 * 0.0002 + 0.1 * 0.001))
    assert predictor == pytest.approx(10 / predictor_request_s(TIMES))
    assert predictor_request_s(TIMES, batch=1) == pytest.approx(0.0025 + 0.00005 * mean_chars(), rel=0.01)


def test_the_predictors_part_of_capacity_follows_the_miss_share() -> None:
    at_half, at_95 = stage_capacities(TIMES, 0.5)[1], stage_capacities(TIMES, 0.95)[1]
    assert at_95 / at_half == pytest.approx(10)


def test_on_one_machine_all_parts_share_the_cpu() -> None:
    shared = machine_capacity(TIMES, 1.0, cpus=2, generator_s=0.0005)
    assert shared == pytest.approx(2 / 0.0007)
    assert machine_capacity(TIMES, 0.0, cpus=2, generator_s=0.0005) < shared
    # With CPU to spare, one process's core is the limit.
    assert machine_capacity(TIMES, 1.0, cpus=64, generator_s=0.0005) == pytest.approx(1 / 0.0002)


def test_the_curve_rises_with_hits_and_gets_cheaper() -> None:
    points = curve(TIMES, prices=PRICES, hit_shares=(0.0, 0.9, 1.0), simulated_requests=2000)
    assert points[0].capacity_per_s < points[1].capacity_per_s < points[2].capacity_per_s
    assert points[0].dollars_per_million > points[1].dollars_per_million > points[2].dollars_per_million
    assert [point.limit for point in points] == ["predictor", "predictor", "transformer"]
    assert points[2].predictors_per_transformer == 0
    assert all(point.p99_ms is not None for point in points)


def test_prices_are_vcpus_times_the_nodes_price() -> None:
    hourly = PRICES.pods_per_hour(transformers=1, predictors=2)
    assert hourly == pytest.approx(5 * 0.228 / 4)
    assert PRICES.per_million(transformers=1, predictors=2, requests_per_s=100) == pytest.approx(hourly / 0.36)
    packed = dataclasses.replace(PRICES, packing=0.5, redis_dollars_per_hour=1.0)
    assert packed.pods_per_hour(transformers=1, predictors=2) == pytest.approx(2 * hourly + 1)
    with pytest.raises(ValueError, match="above 0"):
        PRICES.per_million(transformers=1, predictors=1, requests_per_s=0)


def test_a_run_is_priced_by_the_pod_seconds_it_used() -> None:
    one = KpaSettings(min_scale=1, max_scale=1)
    scenario = Scenario(
        times=TIMES,
        duration_s=60,
        rate=constant(50),
        mix=Mix(hit_share=0.5),
        transformer=StageSettings(kpa=one),
        predictor=StageSettings(kpa=one),
    )
    timeline = simulate(scenario)
    assert dollars_per_hour(timeline, PRICES) == pytest.approx(3 * 0.057)
    assert cost_per_million(timeline, PRICES) == pytest.approx(3 * 0.057 / (timeline.requests * 60) * 1e6, rel=0.01)


def candidate(**changes: object) -> Candidate:
    base = Candidate(
        scale_target=4,
        min_replicas=1,
        target_burst_capacity=0,
        p50_ms=5,
        p99_ms=50,
        lost_share=0,
        most_predictors=2,
        dollars_per_hour=0.2,
        holds=True,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_the_cheapest_that_keeps_the_slo_is_recommended() -> None:
    cheap_but_slow = candidate(dollars_per_hour=0.1, holds=False)
    good, faster = candidate(), candidate(p99_ms=40)
    dear = candidate(dollars_per_hour=0.3, p99_ms=10)
    assert best([dear, cheap_but_slow, good, faster]) == faster
    assert best([cheap_but_slow]) is None


def test_a_tight_slo_needs_pods_before_the_burst() -> None:
    rate = stages([(0, 2), (40, 2), (41, 60), (100, 60)])
    scenario = Scenario(
        times=dataclasses.replace(TIMES, char_s=0.0003),
        duration_s=100,
        rate=rate,
        mix=Mix(hit_share=0.0),
        transformer=StageSettings(kpa=KpaSettings(min_scale=1, max_scale=1)),
        predictor=StageSettings(kpa=KpaSettings(max_scale=6)),
    )
    chosen = {}
    for p99_ms in (300.0, 20_000.0):
        tried = list(
            candidates(
                scenario,
                slo=Slo(p99_ms=p99_ms, lost_share=0.2),
                prices=PRICES,
                scale_targets=(2,),
                min_replicas=(1, 4),
                burst_capacities=(0,),
            )
        )
        found = best(tried)
        assert found is not None
        chosen[p99_ms] = found.min_replicas
    assert chosen == {300.0: 4, 20_000.0: 1}


@pytest.mark.parametrize(
    ("marker", "folder", "files"),
    [
        ("cgroup.controllers", "here", {"cpu.max": "20000 100000"}),
        ("cpu/cpu.cfs_quota_us", "cpu/here", {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "20000"}),
    ],
)
def test_a_quota_is_written_as_the_cgroup_version_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marker: str, folder: str, files: dict[str, str]
) -> None:
    (tmp_path / marker).parent.mkdir(exist_ok=True)
    (tmp_path / marker).touch()
    monkeypatch.setattr(quota, "CGROUPS", tmp_path)
    limited = quota.CpuQuota(name="here", cpus=0.2)
    limited.add(4711)
    written = {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}
    assert written == {**files, "cgroup.procs": "4711"}


def test_without_a_cpu_controller_a_quota_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quota, "CGROUPS", tmp_path)
    with pytest.raises(OSError, match="no CPU controller"):
        quota.CpuQuota(name="here", cpus=0.2)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "load.capacity", *words]
    return subprocess.run(line, cwd=REPO, capture_output=True, text=True, check=False, timeout=110)


@pytest.fixture
def times_file(tmp_path: Path) -> Path:
    path = tmp_path / "times.json"
    path.write_text(json.dumps({"service_times": dataclasses.asdict(TIMES)}))
    return path


def test_simulate_writes_json_page_and_plot(times_file: Path, tmp_path: Path) -> None:
    load = ("--profile", "ramp", "--rate", "5", "--peak", "60", "--duration-s", "60", "--scale-target", "1")
    done = run("simulate", "--times", str(times_file), "--out", str(tmp_path), *load, "--rollout-s", "30")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "simulation.json").read_text())
    assert summary["requests"] > 1000
    assert "| second | arrivals/s |" in (tmp_path / "simulation.md").read_text()
    assert (tmp_path / "simulation.svg").read_text().startswith("<?xml")


def test_curve_and_recommend_write_their_pages(times_file: Path, tmp_path: Path) -> None:
    curved = run("curve", "--times", str(times_file), "--out", str(tmp_path), "--requests", "1000")
    assert curved.returncode == 0, curved.stderr
    rows = json.loads((tmp_path / "curve.json").read_text())["points"]
    assert [row["hit_share"] for row in rows] == [0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0]
    assert rows[-1]["predictor_per_s"] is None
    load = ("--profile", "spike", "--rate", "5", "--peak", "20", "--duration-s", "30", "--p99-ms", "30000")
    done = run("recommend", "--times", str(times_file), "--out", str(tmp_path), *load, "--lost-share", "1")
    assert done.returncode == 0, done.stderr
    assert "Recommended for the predictor: scaleTarget" in (tmp_path / "advice.md").read_text()
    assert len(json.loads((tmp_path / "advice.json").read_text())["tried"]) == 40


def test_pods_are_compared_by_price_and_p99(times_file: Path, tmp_path: Path) -> None:
    done = run("pods", "--times", str(times_file), "--out", str(tmp_path), "--requests", "200")
    assert done.returncode == 0, done.stderr
    tried = json.loads((tmp_path / "pods.json").read_text())["fleets"]
    assert {(each["pod_cpus"], each["pods"]) for each in tried} == {(1, 8), (2, 4), (4, 2), (8, 1)}
    said = (tmp_path / "pods.md").read_text()
    assert "| 8 x 1 CPU | 4 x 2 CPU | 2 x 4 CPU | 1 x 8 CPU | cheapest |" in said
    assert run("pods", "--times", str(times_file), "--out", str(tmp_path), "--two-cpu-speedup", "3").returncode == 2


def test_what_two_cpus_gain_bounds_what_more_can() -> None:
    assert effective_cpus(1, two_cpu_speedup=1.8) == 1
    assert effective_cpus(2, two_cpu_speedup=1.8) == pytest.approx(1.8)
    assert effective_cpus(8, two_cpu_speedup=1.0) == pytest.approx(1.0)
    assert 4.4 < effective_cpus(8, two_cpu_speedup=1.8) < 4.6


def test_the_busiest_fleet_that_keeps_the_p99_is_the_cheapest_of_its_size() -> None:
    base = {"pod_cpus": 2, "pods": 4, "utilisation": 0.5}
    slow = Fleet(requests_per_s=90, p99_ms=250, dollars_per_million=1, **base)
    good = Fleet(requests_per_s=60, p99_ms=150, dollars_per_million=2, **base)
    idle = Fleet(requests_per_s=20, p99_ms=60, dollars_per_million=6, **base)
    assert cheapest([slow, good, idle], pod_cpus=2, limit_ms=200) is good
    assert cheapest([slow, good, idle], pod_cpus=2, limit_ms=50) is None


def test_hops_are_those_that_were_measured_unless_an_option_says_otherwise() -> None:
    measured = hops_of(json.loads(ROUTE.read_text()))
    scenario = scenario_of(parser().parse_args(["simulate", "--activator-s", "0.005"]))
    for pod in (scenario.transformer.pod, scenario.predictor.pod):
        assert (pod.queue_proxy_s, pod.activator_s) == (measured.queue_proxy_s, 0.005)
    assert scenario.hop_s == scenario.forward_hop_s == measured.gateway_s > 0
    local = scenario_of(parser().parse_args(["simulate", "--local"]))
    assert local.hop_s == local.forward_hop_s == local.predictor.pod.queue_proxy_s == 0


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    done = run("curve", "--times", str(tmp_path / "none.json"), "--out", str(tmp_path))
    assert done.returncode == 2
    assert "none.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_target_cores_speed_scales_work_but_not_waiting(times_file: Path, tmp_path: Path) -> None:
    busy = ("--profile", "constant", "--rate", "20", "--duration-s", "30", "--hit-share", "0", "--local")
    medians = []
    for speed in ("1", "0.5"):
        done = run("simulate", "--times", str(times_file), "--out", str(tmp_path), *busy, "--speed", speed)
        assert done.returncode == 0, done.stderr
        medians.append(json.loads((tmp_path / "simulation.json").read_text())["latency"]["all"]["p50_ms"])
    assert medians[1] > 1.8 * medians[0]
