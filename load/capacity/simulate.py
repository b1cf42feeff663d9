"""Two stages under a load: requests enter the transformer, misses go on to the predictor, both scale by the KPA."""

import dataclasses
import random
from collections.abc import Callable

from load.capacity.events import Events
from load.capacity.kpa import KpaSettings
from load.capacity.revision import Pod, PodSettings, Revision, ServerT
from load.capacity.service import BatchServer, Cpu, LoopServer, ServiceTimes
from load.capacity.timeline import Timeline
from load.capacity.workload import Mix, Rate, TextCache, Texts, poisson_arrivals, sentence_chars


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """Autoscaling and pod times of one component; ``cpu_quota`` is its share of one core, None for a whole one."""

    kpa: KpaSettings = dataclasses.field(default_factory=KpaSettings)
    pod: PodSettings = dataclasses.field(default_factory=PodSettings)
    initial_pods: int | None = None
    cpu_quota: float | None = None
    quota_period_s: float = 0.1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything a simulation needs; the same scenario and seed give the same result.

    ``clients`` closes the loop: a function from seconds to the number of clients that each ask again as soon as they
    are answered; then ``rate`` is not used. ``rollouts_s`` are the times at which a new model version is rolled out.
    ``hop_s`` is added to every answer beside what ``times`` says (a cluster's gateway, say), ``forward_hop_s`` to a
    forwarded one's once more (the same gateway, between the two pods).
    """

    times: ServiceTimes
    duration_s: float
    rate: Rate | None = None
    clients: Callable[[float], int] | None = None
    mix: Mix = dataclasses.field(default_factory=Mix)
    transformer: StageSettings = dataclasses.field(default_factory=StageSettings)
    predictor: StageSettings = dataclasses.field(default_factory=StageSettings)
    shared_cache: bool = True
    cache_ttl_s: float = 180.0
    warm: bool = True
    rollouts_s: tuple[float, ...] = ()
    hop_s: float = 0.0
    forward_hop_s: float = 0.0
    seed: int = 255


class _Loop(LoopServer):
    """A transformer pod: an event loop and, where nothing is shared, its own cache."""

    def __init__(self, *, cpu: Cpu, cache: TextCache) -> None:
        super().__init__(cpu=cpu)
        self.cache = cache


class Simulation:
    """One run of a scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._events = Events()
        self._rng = random.Random(scenario.seed)  # noqa: S311 - a simulation needs repeatable draws
        self._chars = sentence_chars()
        self._texts = Texts(mix=scenario.mix, rng=self._rng)
        self._shared = self._fresh_cache() if scenario.shared_cache else None
        self._caches: list[TextCache] = [self._shared] if self._shared else []
        self._asking = 0
        self.timeline = Timeline(duration_s=scenario.duration_s)
        self._transformer = self._revision(scenario.transformer, self._make_loop)
        self._predictor = self._revision(scenario.predictor, self._make_batcher)

    def run(self) -> Timeline:
        """Run to the scenario's end and until the last request is answered, at most a minute more."""
        scenario = self._scenario
        if scenario.clients is not None:
            self._events.at(0.0, self._admit_clients)
        elif scenario.rate is not None:
            for at_s in poisson_arrivals(scenario.rate, duration_s=scenario.duration_s, rng=self._rng):
                self._events.at(at_s, self._arrive)
        else:
            raise ValueError("a scenario needs a rate or clients")
        for at_s in scenario.rollouts_s:
            self._events.at(at_s, self._roll_out)
        self._events.at(0.0, self._observe)
        self._events.run(scenario.duration_s)
        self._transformer.finish()
        self._predictor.finish()
        self.timeline.close(
            transformer_pod_s=self._transformer.pod_seconds, predictor_pod_s=self._predictor.pod_seconds
        )
        return self.timeline

    def _revision(self, stage: StageSettings, make: Callable[[], ServerT]) -> Revision[ServerT]:
        return Revision(
            events=self._events,
            kpa=stage.kpa,
            pod=stage.pod,
            make_server=make,
            rng=self._rng,
            initial_pods=stage.initial_pods,
        )

    def _cpu(self, stage: StageSettings) -> Cpu:
        phase_s = self._rng.random() * stage.quota_period_s
        return Cpu(quota=stage.cpu_quota, period_s=stage.quota_period_s, phase_s=phase_s)

    def _fresh_cache(self) -> TextCache:
        cache = self._empty_cache()
        if self._scenario.warm:
            cache.warm(self._texts.hot(), self._events.now_s)
        return cache

    def _empty_cache(self) -> TextCache:
        return TextCache(ttl_s=self._scenario.cache_ttl_s, rng=self._rng)

    def _make_loop(self) -> _Loop:
        cache = self._shared
        if cache is None:
            # A pod that starts later starts with an empty cache of its own.
            cache = self._fresh_cache() if self._events.now_s == 0 else self._empty_cache()
            self._caches.append(cache)
        return _Loop(cpu=self._cpu(self._scenario.transformer), cache=cache)

    def _make_batcher(self) -> BatchServer:
        return BatchServer(
            events=self._events,
            times=self._scenario.times,
            cpu=self._cpu(self._scenario.predictor),
        )

    def _admit_clients(self) -> None:
        now_s = self._events.now_s
        if now_s >= self._scenario.duration_s or self._scenario.clients is None:
            return
        for _ in range(self._scenario.clients(now_s) - self._asking):
            self._asking += 1
            self._arrive()
        self._events.at(now_s + 0.5, self._admit_clients)

    def _arrive(self) -> None:
        arrived_s = self._events.now_s
        texts = self._texts.request()
        self.timeline.arrived(arrived_s)
        if not self._transformer.submit(lambda pod: self._look_up(pod, arrived_s, texts)):
            self._end(arrived_s, "failed")

    def _look_up(self, pod: Pod[_Loop], arrived_s: float, texts: list[int]) -> None:
        now_s = self._events.now_s
        missing = [text for text in texts if not pod.server.cache.holds(text, now_s)]
        times = self._scenario.times
        if not missing:
            done_s = pod.server.serve(now_s, times.transformer_s(texts=len(texts), forwarded=False))
            self._events.at(done_s, self._answer, pod, arrived_s, "hit")
            return
        # Half of a forwarded request's work precedes the forward, half follows it.
        half_s = times.transformer_s(texts=len(texts), forwarded=True) / 2
        outcome = "miss" if len(missing) == len(texts) else "partial"
        self._events.at(pod.server.serve(now_s, half_s), self._forward, pod, arrived_s, outcome, missing, half_s)

    def _forward(self, pod: Pod[_Loop], arrived_s: float, outcome: str, missing: list[int], half_s: float) -> None:
        chars = sum(self._chars[text % len(self._chars)] for text in missing)

        def send(predictor: Pod[BatchServer]) -> None:
            if not predictor.server.submit(chars, answered, predictor):
                self._predictor.release(predictor)
                self._refuse(pod, arrived_s)

        def answered(predictor: Pod[BatchServer]) -> None:
            self._predictor.release(predictor)
            now_s = self._events.now_s
            for text in missing:
                pod.server.cache.store(text, now_s)
            self._events.at(pod.server.serve(now_s, half_s), self._answer, pod, arrived_s, outcome)

        if not self._predictor.submit(send):
            self._refuse(pod, arrived_s)

    def _refuse(self, pod: Pod[_Loop], arrived_s: float) -> None:
        self._transformer.release(pod)
        self._end(arrived_s, "failed")

    def _answer(self, pod: Pod[_Loop], arrived_s: float, outcome: str) -> None:
        self._transformer.release(pod)
        scenario, times = self._scenario, self._scenario.times
        hops_s = scenario.hop_s + times.hop_s
        if outcome != "hit":
            hops_s += scenario.forward_hop_s + times.forward_hop_s
        if hops_s > 0:
            self._events.at(self._events.now_s + hops_s, self._end, arrived_s, outcome)
        else:
            self._end(arrived_s, outcome)

    def _end(self, arrived_s: float, outcome: str) -> None:
        now_s = self._events.now_s
        self.timeline.ended(arrived_s, now_s, outcome)
        clients = self._scenario.clients
        if clients is None:
            return
        if self._asking > clients(now_s):
            self._asking -= 1
        elif outcome == "failed":
            # A refused client comes back after the second that Retry-After names.
            self._events.at(now_s + 1.0, self._arrive)
        else:
            self._arrive()

    def _roll_out(self) -> None:
        self._predictor.replace(switched=self._forget)

    def _forget(self) -> None:
        for cache in self._caches:
            cache.clear()

    def _observe(self) -> None:
        self.timeline.observed(
            self._events.now_s,
            transformer=len(self._transformer.ready_pods()),
            predictor=len(self._predictor.ready_pods()),
            panicking=self._predictor.decision.panicking or self._transformer.decision.panicking,
        )
        self._events.at(self._events.now_s + 1.0, self._observe)


def simulate(scenario: Scenario) -> Timeline:
    """Run a scenario and give what happened."""
    return Simulation(scenario).run()
