"""A Knative revision: pods that start, serve and drain, the way requests reach them, and its autoscaler."""

import dataclasses
import random
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from load.capacity.events import Events
from load.capacity.kpa import Autoscaler, Decision, KpaSettings, WindowMean

ServerT = TypeVar("ServerT")
QUEUE_PROXY_DEPTH_PER_SLOT = 10
SCRAPE_S = 1.0
TICK_S = 2.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PodSettings:
    """Times around the container: bring-up until ready, and one pass through queue-proxy and activator."""

    cold_start_s: float = 6.0
    queue_proxy_s: float = 0.0
    activator_s: float = 0.0


class Pod(Generic[ServerT]):
    """One replica: from scheduled over ready to gone."""

    def __init__(self, *, server: ServerT, created_s: float) -> None:
        self.server = server
        self.created_s = created_s
        self.ready = False
        self.stopping = False
        self.in_flight = 0


class Revision(Generic[ServerT]):
    """Routes requests to pods and scales them as the KPA decides.

    ``send(pod, ...)`` of the caller does the work; it must call ``release`` when the request left the pod.
    """

    def __init__(
        self,
        *,
        events: Events,
        kpa: KpaSettings,
        pod: PodSettings,
        make_server: Callable[[], ServerT],
        rng: random.Random,
        initial_pods: int | None = None,
    ) -> None:
        self._events = events
        self._kpa = kpa
        self._pod = pod
        self._make_server = make_server
        self._rng = rng
        self.pods: list[Pod[ServerT]] = []
        self.pod_seconds = 0.0
        self.refused = 0
        self._waiting: deque[Callable[[Pod[ServerT]], None]] = deque()
        self._in_flight = 0
        self._arrived = 0
        self._area = 0.0
        self._area_at_s = 0.0
        self._stable = WindowMean(window_s=kpa.stable_window_s)
        self._panic = WindowMean(window_s=kpa.panic_window_s)
        self._idle_since_s: float | None = None
        self._replacing = False
        count = max(kpa.min_scale, kpa.initial_scale) if initial_pods is None else initial_pods
        for _ in range(count):
            self._ready(self._start_pod())
        self._autoscaler = Autoscaler(settings=kpa, ready_pods=count)
        self.decision = Decision(count, -1, panicking=False)
        events.at(SCRAPE_S, self._scrape)
        events.at(TICK_S, self._tick)

    def ready_pods(self) -> list[Pod[ServerT]]:
        """Give the pods that take requests."""
        return [pod for pod in self.pods if pod.ready and not pod.stopping]

    def submit(self, send: Callable[[Pod[ServerT]], None]) -> bool:
        """Route one request; False when it is refused. ``send`` runs once a pod takes it, hops included."""
        self._count_area()
        pods = self.ready_pods()
        if pods and not self._activator():
            pod = self._pick(pods)
            slots = self._kpa.container_concurrency
            if slots and pod.in_flight >= slots * (1 + QUEUE_PROXY_DEPTH_PER_SLOT):
                self.refused += 1
                return False
        self._in_flight += 1
        self._arrived += 1
        if not pods:
            self._waiting.append(send)
            if not self.pods:
                self._scale_to(max(1, self._kpa.activation_scale))
        elif not self._activator():
            self._hand_over(pod, send)
        else:
            self._waiting.append(send)
            self._drain_waiting()
        return True

    def release(self, pod: Pod[ServerT]) -> None:
        """Say that a request left its pod."""
        self._count_area()
        self._in_flight -= 1
        pod.in_flight -= 1
        if pod.stopping and pod.in_flight == 0:
            self._remove(pod)
        if self._waiting:
            self._drain_waiting()

    def replace(self, *, switched: Callable[[], None]) -> None:
        """Roll out a new revision: fresh pods, traffic moves when all are ready, then the old ones drain."""
        old = list(self.pods)
        self._replacing = True
        fresh = [self._start_pod() for _ in range(max(self._kpa.initial_scale, self._kpa.min_scale, 1))]

        def switch() -> None:
            for pod in fresh:
                self._ready(pod)
            for pod in old:
                self._stop(pod)
            self._autoscaler = Autoscaler(settings=self._kpa, ready_pods=len(fresh), now_s=self._events.now_s)
            self._replacing = False
            switched()

        self._events.at(self._events.now_s + self._pod.cold_start_s, switch)

    def finish(self) -> None:
        """Close the account of pod seconds at the clock's time."""
        for pod in list(self.pods):
            self._remove(pod)

    def _activator(self) -> bool:
        return self.decision.activator_in_path

    def _pick(self, pods: list[Pod[ServerT]]) -> Pod[ServerT]:
        if len(pods) == 1:
            return pods[0]
        first, second = self._rng.sample(pods, 2)
        return first if first.in_flight <= second.in_flight else second

    def _hand_over(self, pod: Pod[ServerT], send: Callable[[Pod[ServerT]], None]) -> None:
        pod.in_flight += 1
        hop_s = self._pod.queue_proxy_s + (self._pod.activator_s if self._activator() else 0.0)
        if hop_s > 0:
            self._events.at(self._events.now_s + hop_s, send, pod)
        else:
            send(pod)

    def _drain_waiting(self) -> None:
        slots = self._kpa.container_concurrency
        while self._waiting:
            pods = self.ready_pods()
            if slots and self._activator():
                pods = [pod for pod in pods if pod.in_flight < slots]
            if not pods:
                return
            self._hand_over(self._pick(pods), self._waiting.popleft())

    def _start_pod(self) -> Pod[ServerT]:
        pod = Pod(server=self._make_server(), created_s=self._events.now_s)
        self.pods.append(pod)
        return pod

    def _ready(self, pod: Pod[ServerT]) -> None:
        if not pod.stopping:
            pod.ready = True
            self._drain_waiting()

    def _stop(self, pod: Pod[ServerT]) -> None:
        pod.stopping = True
        if pod.in_flight == 0:
            self._remove(pod)

    def _remove(self, pod: Pod[ServerT]) -> None:
        self.pods.remove(pod)
        self.pod_seconds += self._events.now_s - pod.created_s

    def _count_area(self) -> None:
        now_s = self._events.now_s
        self._area += self._in_flight * (now_s - self._area_at_s)
        self._area_at_s = now_s

    def _scrape(self) -> None:
        self._count_area()
        value = self._area / SCRAPE_S if self._kpa.metric == "concurrency" else self._arrived / SCRAPE_S
        self._stable.add(value)
        self._panic.add(value)
        self._area, self._arrived = 0.0, 0
        self._events.at(self._events.now_s + SCRAPE_S, self._scrape)

    def _tick(self) -> None:
        if not self._replacing:
            ready = len(self.ready_pods())
            self.decision = self._autoscaler.decide(
                now_s=self._events.now_s, ready_pods=ready, stable=self._stable.mean(), panic=self._panic.mean()
            )
            self._scale_to(self._after_grace(self.decision.desired))
        self._events.at(self._events.now_s + TICK_S, self._tick)

    def _after_grace(self, desired: int) -> int:
        """Keep the last pod for the grace period after traffic ended, while the activator takes over."""
        if desired > 0:
            self._idle_since_s = None
            return desired
        if self._idle_since_s is None:
            self._idle_since_s = self._events.now_s
        return 0 if self._events.now_s - self._idle_since_s >= self._kpa.scale_to_zero_grace_s else 1

    def _scale_to(self, wanted: int) -> None:
        alive = [pod for pod in self.pods if not pod.stopping]
        if not alive and self._waiting:
            wanted = max(wanted, 1)
        for _ in range(wanted - len(alive)):
            pod = self._start_pod()
            self._events.at(self._events.now_s + self._pod.cold_start_s, self._ready, pod)
        # Youngest and unready first, as a Deployment's ReplicaSet does.
        for pod in sorted(alive, key=lambda each: (each.ready, -each.created_s))[: max(0, len(alive) - wanted)]:
            self._stop(pod)
