"""The simulator against queueing theory, and the behaviour that only a simulation shows."""

import dataclasses
import math
import random
from pathlib import Path

import pytest

from load.capacity.events import Events
from load.capacity.kpa import KpaSettings
from load.capacity.revision import PodSettings
from load.capacity.service import BatchServer, Cpu, LoopServer, ServiceTimes
from load.capacity.simulate import Scenario, StageSettings, simulate
from load.capacity.workload import Mix, TextCache, Texts, constant, poisson_arrivals, read_trace, stages

TIMES = ServiceTimes(
    hit_request_s=0.0002, forward_request_s=0.0004, text_s=0.0, batch_s=0.0, predict_request_s=0.02, char_s=0.0
)
ONE = KpaSettings(min_scale=1, max_scale=1)


def fixed(pods: int, **changes: object) -> StageSettings:
    kpa = KpaSettings(min_scale=pods, max_scale=pods, initial_scale=pods)
    return StageSettings(kpa=kpa, **changes)  # type: ignore[arg-type]


def scenario(**changes: object) -> Scenario:
    base = Scenario(
        times=TIMES,
        duration_s=120,
        rate=constant(20),
        mix=Mix(hit_share=0),
        transformer=fixed(1),
        predictor=fixed(1),
        cache_ttl_s=math.inf,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def test_events_run_in_order_of_time_and_equal_times_in_order_of_scheduling() -> None:
    events, seen = Events(), list[str]()
    events.at(2, seen.append, "late")
    events.at(1, seen.append, "first")
    events.at(1, seen.append, "second")
    events.at(9, seen.append, "beyond")
    events.run(5)
    assert seen == ["first", "second", "late"]
    assert events.now_s == 5


def test_a_loop_does_one_thing_after_the_other() -> None:
    loop = LoopServer()
    assert loop.serve(0.0, 0.1) == pytest.approx(0.1)
    assert loop.serve(0.05, 0.1) == pytest.approx(0.2)
    assert loop.serve(1.0, 0.1) == pytest.approx(1.1)


def test_a_single_server_waits_as_the_pollaczek_khinchine_formula_says() -> None:
    # Constant service s = 20 ms at 35/s: utilisation 0.7, mean wait rho s / (2 (1 - rho)) = 23.3 ms.
    service_s, rate = 0.02, 35.0
    loop, rng = LoopServer(), random.Random(1)
    waits = [
        loop.serve(at_s, service_s) - service_s - at_s
        for at_s in poisson_arrivals(constant(rate), duration_s=4000, rng=rng)
    ]
    rho = rate * service_s
    assert sum(waits) / len(waits) == pytest.approx(rho * service_s / (2 * (1 - rho)), rel=0.05)


def test_a_quota_stops_the_clock_for_the_rest_of_each_period() -> None:
    cpu = Cpu(quota=0.2, period_s=0.1)
    # 50 ms of work at 20 ms per 100 ms: two full periods and 10 ms of the third.
    assert cpu.finish_s(0.0, 0.05) == pytest.approx(0.21)
    # 10 ms are left in that period, the rest of the work follows in the next.
    assert cpu.finish_s(0.21, 0.015) == pytest.approx(0.305)


def test_a_quota_of_a_whole_core_is_no_quota() -> None:
    assert Cpu(quota=1.0).finish_s(0.0, 5.0) == 5.0


def test_work_throttled_for_long_takes_work_over_quota() -> None:
    cpu, at_s = Cpu(quota=0.25, period_s=0.02), 0.0
    for _ in range(200):
        at_s = cpu.finish_s(at_s, 0.01)
    assert at_s == pytest.approx(200 * 0.01 / 0.25, rel=0.01)


def test_what_waits_while_the_engine_is_busy_becomes_one_batch() -> None:
    events, answered = Events(), list[tuple[str, float]]()
    times = dataclasses.replace(TIMES, batch_s=0.01, predict_request_s=0.001)
    server = BatchServer(events=events, times=times)
    for name in ("a", "b", "c"):
        assert server.submit(10, lambda name=name: answered.append((name, events.now_s)))  # type: ignore[misc]
    events.run(1)
    assert answered == [("a", pytest.approx(0.011)), ("b", pytest.approx(0.023)), ("c", pytest.approx(0.023))]


def test_a_batch_keeps_to_its_budget_and_a_full_queue_refuses() -> None:
    events, batches = Events(), list[float]()
    server = BatchServer(
        events=events,
        times=dataclasses.replace(TIMES, batch_s=1.0, predict_request_s=0.0),
        max_batch_chars=20,
        max_queue_chars=40,
    )
    accepted = [server.submit(10, lambda: batches.append(events.now_s)) for _ in range(6)]
    assert accepted == [True, True, True, True, True, False]
    events.run(10)
    assert batches == [1.0, 2.0, 2.0, 3.0, 3.0]


def test_nobody_joins_a_queue_that_takes_longer_than_the_longest_wait() -> None:
    events = Events()
    times = dataclasses.replace(TIMES, char_s=0.1)
    whole = BatchServer(events=events, times=times, max_wait_s=2.0)
    assert [whole.submit(10, lambda: None) for _ in range(4)] == [True, True, True, False]
    half = BatchServer(events=events, times=times, max_wait_s=2.0, cpu=Cpu(quota=0.5))
    assert [half.submit(10, lambda: None) for _ in range(4)] == [True, True, False, False]


def test_throughput_of_a_busy_closed_loop_is_one_over_the_service_time() -> None:
    timeline = simulate(scenario(rate=None, clients=lambda _: 8, duration_s=60))
    assert timeline.requests / 60 == pytest.approx(1 / 0.02, rel=0.05)
    assert timeline.failed == 0


def test_more_pods_take_more_load_and_answer_sooner() -> None:
    p99 = [simulate(scenario(rate=constant(40), predictor=fixed(pods))).latency().p99_ms for pods in (1, 2, 4)]
    assert p99[0] is not None
    assert p99[1] is not None
    assert p99[2] is not None
    assert p99[0] > 1.5 * p99[1] > p99[2]


def test_hits_do_not_wait_for_a_busy_predictor() -> None:
    timeline = simulate(scenario(rate=constant(90), mix=Mix(hit_share=0.5)))
    hit, miss = timeline.latency("hit").p99_ms, timeline.latency("miss").p99_ms
    assert hit is not None
    assert miss is not None
    assert hit < 5
    assert miss > 50


def test_the_same_seed_gives_the_same_run_and_another_a_different_one() -> None:
    first, again = simulate(scenario()), simulate(scenario())
    assert first.summary() == again.summary()
    assert simulate(scenario(seed=7)).summary() != first.summary()


def test_a_burst_scales_out_and_calm_scales_in_again() -> None:
    autoscaled = StageSettings(kpa=KpaSettings(target=2, max_scale=6), pod=PodSettings(cold_start_s=5))
    rate = stages([(0, 10), (60, 10), (61, 150), (180, 150), (181, 10)])
    timeline = simulate(scenario(rate=rate, duration_s=420, predictor=autoscaled))
    pods = [each.predictor_pods for each in timeline.slices(42)]
    assert pods[5] == 1
    assert max(pods) == 6
    assert pods[-1] == 1
    assert any(each.panicking for each in timeline.slices(42))
    alone = simulate(scenario(rate=rate, duration_s=420))
    assert alone.predictor_pod_s < timeline.predictor_pod_s < 6 * 420


def test_a_slower_cold_start_makes_the_burst_hurt_more() -> None:
    rate = stages([(0, 5), (30, 5), (31, 120), (120, 120)])
    worst = []
    for cold_start_s in (2.0, 20.0):
        kpa = KpaSettings(target=2, max_scale=6)
        stage = StageSettings(kpa=kpa, pod=PodSettings(cold_start_s=cold_start_s))
        worst.append(simulate(scenario(rate=rate, predictor=stage)).latency().p99_ms)
    assert worst[1] > 2 * worst[0]


def test_scale_to_zero_waits_for_the_window_and_the_grace_and_the_next_request_pays_the_cold_start() -> None:
    kpa = KpaSettings(min_scale=0, target=2)
    stage = StageSettings(kpa=kpa, pod=PodSettings(cold_start_s=5))
    rate = stages([(0, 5), (60, 5), (60.1, 0), (260, 0), (260.1, 5)])
    timeline = simulate(scenario(rate=rate, duration_s=320, predictor=stage))
    pods = {each.start_s: each.predictor_pods for each in timeline.slices(32)}
    assert pods[130] == 1  # the stable window and the grace period are not over
    assert pods[180] == 0
    assert pods[300] >= 1
    slowest = timeline.latency(from_s=250).max_ms
    assert slowest is not None
    assert 4500 < slowest < 6500


def test_a_rollout_empties_the_cache_and_texts_are_computed_once_more() -> None:
    quiet = scenario(rate=constant(60), mix=Mix(hit_share=1.0, hot=200), duration_s=100)
    before = simulate(quiet)
    after = simulate(dataclasses.replace(quiet, rollouts_s=(50.0,)))
    assert before.hit_share() == 1
    misses = after.latency("miss").count
    # Every hot text is asked for again after the switch, and once is enough unless two ask at the same time.
    assert 190 <= misses <= 240


def test_without_a_shared_cache_new_pods_start_cold() -> None:
    kpa = KpaSettings(target=1, max_scale=4)
    stage = StageSettings(kpa=kpa, pod=PodSettings(cold_start_s=2))
    load = scenario(
        rate=stages([(0, 10), (15, 10), (16, 300), (30, 300)]),
        duration_s=30,
        mix=Mix(hit_share=1.0, hot=50),
        transformer=stage,
        times=dataclasses.replace(TIMES, hit_request_s=0.01),
    )
    assert simulate(load).hit_share() == 1
    private = simulate(dataclasses.replace(load, shared_cache=False))
    assert private.most_pods()[0] > 1
    assert private.hit_share() < 1


def test_container_concurrency_refuses_beyond_the_queue_when_no_activator_buffers() -> None:
    kpa = KpaSettings(min_scale=1, max_scale=1, container_concurrency=1, target_burst_capacity=0)
    refused = simulate(scenario(rate=constant(200), predictor=StageSettings(kpa=kpa), duration_s=20))
    buffered = dataclasses.replace(kpa, target_burst_capacity=-1)
    kept = simulate(scenario(rate=constant(200), predictor=StageSettings(kpa=buffered), duration_s=20))
    assert refused.failed > 0
    assert kept.failed == 0
    assert kept.unfinished > 0


def test_the_activator_adds_its_hop_only_while_it_is_in_the_path() -> None:
    pod = PodSettings(activator_s=0.05)
    latency = {}
    for burst in (-1.0, 0.0):
        kpa = dataclasses.replace(ONE, target_burst_capacity=burst)
        stage = StageSettings(kpa=kpa, pod=pod)
        latency[burst] = simulate(scenario(rate=constant(2), transformer=stage)).latency(from_s=10).p50_ms
    assert latency[-1.0] - latency[0.0] == pytest.approx(50, abs=2)


def test_a_forwarded_answer_waits_for_its_own_hops_as_well() -> None:
    def p50_ms(hit_share: float) -> float:
        alone = scenario(
            clients=lambda _: 1, duration_s=20, mix=Mix(hit_share=hit_share), hop_s=0.02, forward_hop_s=0.05
        )
        return simulate(alone).latency().p50_ms or 0.0

    assert p50_ms(0.0) - p50_ms(1.0) == pytest.approx(50 + 20, abs=2)


def test_a_cache_entry_lives_its_ttl_and_unique_texts_are_not_kept() -> None:
    cache = TextCache(ttl_s=10)
    cache.store(3, 0.0)
    cache.store(-1, 0.0)
    assert cache.holds(3, 9.9)
    assert not cache.holds(3, 10.0)
    assert not cache.holds(-1, 1.0)


def test_warm_entries_do_not_all_end_at_once() -> None:
    cache = TextCache(ttl_s=100, rng=random.Random(1))
    cache.warm(range(1000), 0.0)
    left = [sum(cache.holds(text, at_s) for text in range(1000)) for at_s in (0.0, 50.0, 89.0, 110.1)]
    assert left[0] > 900
    assert left[1] == pytest.approx(500, abs=60)
    assert 50 < left[2] < 180
    assert left[3] == 0


def test_zipf_texts_hit_as_often_as_theory_says() -> None:
    # 1,000 texts, exponent 1, 5,000 requests from cold: 85 % (each text misses once).
    texts = Texts(mix=Mix(zipf_texts=1000), rng=random.Random(3))
    asked = [texts.request()[0] for _ in range(5000)]
    assert 1 - len(set(asked)) / 5000 == pytest.approx(0.85, abs=0.02)


def test_poisson_arrivals_follow_the_rate() -> None:
    rate = stages([(0, 0), (100, 200)])
    arrivals = poisson_arrivals(rate, duration_s=100, rng=random.Random(1))
    assert len(arrivals) == pytest.approx(10_000, rel=0.05)
    assert sum(at < 50 for at in arrivals) == pytest.approx(2_500, rel=0.08)


def test_a_trace_file_gives_rate_and_length(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("second,requests_per_s\n0,10\n60,30\n")
    rate, length_s = read_trace(trace)
    assert (rate(30), length_s) == (20, 60)
    trace.write_text("second,requests_per_s\n60,30\n0,10\n")
    with pytest.raises(ValueError, match="rising order"):
        read_trace(trace)


def test_the_first_batch_of_a_size_takes_longer_for_its_kernels() -> None:
    events, ended = Events(), list[float]()
    server = BatchServer(events=events, times=dataclasses.replace(TIMES, size_s=0.5))
    for at_s in (0.0, 2.0):
        events.at(at_s, server.submit, 90, lambda: ended.append(events.now_s))
    events.run(10)
    assert [round(at_s, 2) for at_s in ended] == [0.52, 2.02]
