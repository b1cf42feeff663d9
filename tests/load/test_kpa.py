"""The KPA's arithmetic, against the formulas and examples that Knative documents and tests."""

import pytest

from load.capacity.kpa import Autoscaler, Decision, KpaSettings, WindowMean


def decide(autoscaler: Autoscaler, at_s: float, *, ready: int, stable: float, panic: float | None = None) -> Decision:
    return autoscaler.decide(now_s=at_s, ready_pods=ready, stable=stable, panic=stable if panic is None else panic)


def kpa(**changes: object) -> KpaSettings:
    # Knative's own unit tests aim at whole numbers: utilisation 1 makes aim equal target.
    return KpaSettings(**{"target": 10.0, "utilization": 1.0, "min_scale": 0, **changes})  # type: ignore[arg-type]


def test_aim_is_target_times_utilisation_and_at_least_one() -> None:
    assert KpaSettings(target=8).aim == pytest.approx(5.6)
    assert KpaSettings(target=100).aim == pytest.approx(70)
    assert KpaSettings(target=1).aim == 1


def test_container_concurrency_caps_the_target_for_concurrency_only() -> None:
    assert KpaSettings(target=100, container_concurrency=10).aim == pytest.approx(7)
    assert KpaSettings(target=100, container_concurrency=10, metric="rps").aim == pytest.approx(70)


def test_panic_window_is_a_tenth_of_the_stable_one_by_default() -> None:
    assert KpaSettings().panic_window_s == pytest.approx(6)


@pytest.mark.parametrize(("concurrency", "pods"), [(0.5, 1), (10, 1), (10.1, 2), (55, 6), (100, 10)])
def test_desired_pods_are_concurrency_over_target_rounded_up(concurrency: float, pods: int) -> None:
    assert decide(Autoscaler(settings=kpa()), 0, ready=1, stable=concurrency).desired == pods


def test_scaling_up_is_bounded_by_the_rate_and_never_stuck() -> None:
    slow = kpa(max_scale_up_rate=1.1, target=1)
    # 1.1 x 2 ready pods is 2.2: rounded up, so that growth by one is possible.
    assert decide(Autoscaler(settings=slow), 0, ready=2, stable=3).desired == 3


def test_scaling_down_is_bounded_by_half_per_decision() -> None:
    autoscaler = Autoscaler(settings=kpa())
    assert decide(autoscaler, 0, ready=8, stable=1).desired == 4


def test_panic_begins_at_twice_the_ready_capacity_and_never_scales_down() -> None:
    autoscaler = Autoscaler(settings=kpa(target=1))
    first = decide(autoscaler, 0, ready=10, stable=11, panic=25)
    assert (first.desired, first.panicking) == (25, True)
    later = decide(autoscaler, 30, ready=25, stable=12, panic=12)
    assert (later.desired, later.panicking) == (25, True)


def test_panic_ends_a_stable_window_after_the_last_excess() -> None:
    autoscaler = Autoscaler(settings=kpa(target=1))
    decide(autoscaler, 0, ready=10, stable=11, panic=25)
    assert decide(autoscaler, 60, ready=40, stable=30, panic=41).panicking
    after = decide(autoscaler, 62, ready=55, stable=50, panic=56)
    assert (after.desired, after.panicking) == (50, False)


def test_a_lasting_surge_extends_panic() -> None:
    autoscaler = Autoscaler(settings=kpa(target=1))
    decide(autoscaler, 0, ready=10, stable=11, panic=25)
    assert decide(autoscaler, 30, ready=40, stable=30, panic=80).desired == 80
    assert decide(autoscaler, 62, ready=80, stable=50, panic=50).panicking
    assert not decide(autoscaler, 92, ready=80, stable=50, panic=50).panicking


def test_one_pod_short_of_the_threshold_does_not_panic() -> None:
    assert not decide(Autoscaler(settings=kpa(target=1)), 0, ready=10, stable=10, panic=19).panicking


def test_an_autoscaler_that_finds_several_pods_starts_in_panic() -> None:
    autoscaler = Autoscaler(settings=kpa(), ready_pods=5, now_s=0)
    assert decide(autoscaler, 2, ready=5, stable=1).desired == 5
    assert decide(autoscaler, 63, ready=5, stable=1).desired == 2


def test_scale_down_waits_for_the_delay_and_takes_the_highest_within_it() -> None:
    # The cases of Knative's TestAutoscalerScaleDownDelay.
    settings = kpa(max_scale_down_rate=10, panic_threshold_percentage=10_000, scale_down_delay_s=300)
    autoscaler = Autoscaler(settings=settings)
    assert decide(autoscaler, 2, ready=1, stable=40).desired == 4
    assert decide(autoscaler, 300, ready=1, stable=0).desired == 4
    assert decide(autoscaler, 304, ready=1, stable=0).desired == 0


def test_without_delay_scaling_down_is_immediate() -> None:
    autoscaler = Autoscaler(settings=kpa(panic_threshold_percentage=10_000))
    assert decide(autoscaler, 0, ready=1, stable=40).desired == 4
    assert decide(autoscaler, 0.5, ready=1, stable=20).desired == 2


def test_activation_scale_lifts_any_traffic_but_not_none() -> None:
    autoscaler = Autoscaler(settings=kpa(activation_scale=2))
    assert decide(autoscaler, 0, ready=1, stable=0).desired == 0
    assert decide(autoscaler, 2, ready=1, stable=1, panic=0).desired == 2


@pytest.mark.parametrize(
    ("burst", "ready", "total", "panic", "excess"),
    [(101, 1, 10, 10, -101), (211, 52, 4, 0, -3), (211, 53, 4, 0, 1), (0, 1, 10, 500, 0), (-1, 99, 100, 0, -1)],
)
def test_excess_burst_capacity_is_capacity_less_burst_less_load(
    burst: float, ready: int, total: float, panic: float, excess: int
) -> None:
    settings = kpa(target=total, target_burst_capacity=burst)
    decision = decide(Autoscaler(settings=settings), 0, ready=ready, stable=panic)
    assert decision.excess_burst_capacity == excess
    assert decision.activator_in_path == (excess < 0)


def test_bounds_apply_last() -> None:
    assert decide(Autoscaler(settings=kpa(min_scale=2)), 0, ready=1, stable=0).desired == 2
    assert decide(Autoscaler(settings=kpa(max_scale=3)), 0, ready=1, stable=500).desired == 3


@pytest.mark.parametrize(
    "wrong", [{"metric": "cpu"}, {"target": 0}, {"utilization": 0}, {"min_scale": 4, "max_scale": 3}]
)
def test_settings_without_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must|below"):
        KpaSettings(**wrong)  # type: ignore[arg-type]


def test_a_window_averages_what_there_is_then_slides() -> None:
    window = WindowMean(window_s=3)
    assert window.mean() == 0
    window.add(6)
    assert window.mean() == 6
    for value in (3, 0, 0):
        window.add(value)
    assert window.mean() == 1
