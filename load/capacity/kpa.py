"""The arithmetic of Knative's pod autoscaler (KPA), per decision.

Sources: knative/serving ``pkg/autoscaler/scaling/autoscaler.go`` (Scale),
``pkg/reconciler/autoscaling/resources/target.go`` (target and total), ``config/core/configmaps/autoscaler.yaml``
(defaults), and the autoscaling pages of knative.dev/docs.
"""

import dataclasses
import math
from collections import deque


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class KpaSettings:
    """What a revision's annotations and the cluster's config-autoscaler say; defaults are Knative's own.

    ``target`` is the annotation (KServe: scaleTarget) in concurrent requests or requests a second per pod; KServe's
    default for an unset minReplicas is 1, Knative's is 0.
    """

    target: float = 100.0
    metric: str = "concurrency"
    utilization: float = 0.7
    container_concurrency: int = 0
    stable_window_s: float = 60.0
    panic_window_percentage: float = 10.0
    panic_threshold_percentage: float = 200.0
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    target_burst_capacity: float = 211.0
    scale_down_delay_s: float = 0.0
    min_scale: int = 1
    max_scale: int = 0
    initial_scale: int = 1
    activation_scale: int = 1
    scale_to_zero_grace_s: float = 30.0

    def __post_init__(self) -> None:
        if self.metric not in {"concurrency", "rps"}:
            raise ValueError(f"metric must be concurrency or rps, not {self.metric}")
        if self.target <= 0 or not 0 < self.utilization <= 1:
            raise ValueError("target must be above 0 and utilization in (0, 1]")
        if self.max_scale and self.max_scale < self.min_scale:
            raise ValueError(f"max_scale {self.max_scale} is below min_scale {self.min_scale}")

    @property
    def panic_window_s(self) -> float:
        """Length of the panic window in seconds: a percentage of the stable one."""
        return self.stable_window_s * self.panic_window_percentage / 100

    @property
    def total(self) -> float:
        """Most of the metric that one pod may hold: the target, or containerConcurrency where that is less."""
        if self.metric == "concurrency" and self.container_concurrency:
            return min(self.target, float(self.container_concurrency))
        return self.target

    @property
    def aim(self) -> float:
        """What the autoscaler aims at per pod: total x utilization, at least 1."""
        return max(1.0, self.total * self.utilization)


@dataclasses.dataclass(frozen=True, slots=True)
class Decision:
    """What one tick decided: pods within the bounds, excess burst capacity in requests, panic mode."""

    desired: int
    excess_burst_capacity: int
    panicking: bool

    @property
    def activator_in_path(self) -> bool:
        """True while the burst capacity is short, so that requests go through the activator."""
        return self.excess_burst_capacity < 0


class Autoscaler:
    """One revision's autoscaler: keeps panic state and the scale-down delay between ticks."""

    def __init__(self, *, settings: KpaSettings, ready_pods: int = 0, now_s: float = 0.0) -> None:
        self._settings = settings
        # A decider that finds more than one pod starts in panic so that it does not scale down without history.
        self._panic_since_s = now_s if ready_pods > 1 else None
        self._most_panic_pods = ready_pods
        self._recent: deque[tuple[float, int]] = deque()

    def decide(self, *, now_s: float, ready_pods: int, stable: float, panic: float) -> Decision:
        """Give the decision for mean metric values over the stable and the panic window, summed over pods."""
        settings = self._settings
        ready = max(1, ready_pods)
        stable_pods = self._within_rates(math.ceil(stable / settings.aim), ready)
        raw_panic_pods = math.ceil(panic / settings.aim)
        panic_pods = self._within_rates(raw_panic_pods, ready)
        if settings.activation_scale > 1:
            if stable > 0:
                stable_pods = max(stable_pods, settings.activation_scale)
            if panic > 0:
                panic_pods = max(panic_pods, settings.activation_scale)
        self._move_panic(now_s, over=raw_panic_pods / ready >= settings.panic_threshold_percentage / 100)
        desired = stable_pods
        if self._panic_since_s is not None:
            self._most_panic_pods = max(self._most_panic_pods, stable_pods, panic_pods)
            desired = self._most_panic_pods
        desired = self._delayed(now_s, desired)
        return Decision(
            self._bounded(desired), self._excess_burst_capacity(ready_pods, panic), self._panic_since_s is not None
        )

    def _within_rates(self, wanted: int, ready: int) -> int:
        most = math.ceil(self._settings.max_scale_up_rate * ready)
        least = math.floor(ready / self._settings.max_scale_down_rate)
        return min(max(wanted, least), most)

    def _move_panic(self, now_s: float, *, over: bool) -> None:
        if over:
            self._panic_since_s = now_s
        elif self._panic_since_s is not None and now_s - self._panic_since_s > self._settings.stable_window_s:
            self._panic_since_s = None
            self._most_panic_pods = 0

    def _delayed(self, now_s: float, desired: int) -> int:
        delay_s = self._settings.scale_down_delay_s
        if delay_s <= 0:
            return desired
        self._recent.append((now_s, desired))
        while now_s - self._recent[0][0] > delay_s:
            self._recent.popleft()
        return max(pods for _, pods in self._recent)

    def _bounded(self, desired: int) -> int:
        settings = self._settings
        desired = max(desired, settings.min_scale)
        return min(desired, settings.max_scale) if settings.max_scale else desired

    def _excess_burst_capacity(self, ready_pods: int, panic: float) -> int:
        burst = self._settings.target_burst_capacity
        if burst == 0:
            return 0
        if burst < 0:
            return -1
        return math.floor(ready_pods * self._settings.total - burst - panic)


class WindowMean:
    """Mean of one value a second over a sliding window; over what there is while the window is not yet full."""

    def __init__(self, *, window_s: float) -> None:
        self._values: deque[float] = deque(maxlen=max(1, math.ceil(window_s)))

    def add(self, value: float) -> None:
        """Record the value of the second that just ended."""
        self._values.append(value)

    def mean(self) -> float:
        """Give the mean, 0 without values."""
        return sum(self._values) / len(self._values) if self._values else 0.0
