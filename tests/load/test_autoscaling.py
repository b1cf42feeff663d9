"""The simulator beside a real KPA: what is read from a cluster, and what the comparison says."""

import dataclasses
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.processes import REPO

from load.capacity.autoscaling import (
    Spike,
    course_of,
    decided_course,
    foretell,
    foretold_course,
    looks_of,
    milestones,
    off_by,
    page,
    pods_at,
)
from load.capacity.observed import Revisions, Watch, kpa_settings, seconds
from load.capacity.route import CONTAINER, GATEWAY, NO_CLUSTER, QUEUE_PROXY, Hops, hops_of, ways_to
from load.capacity.route import page as route_page
from load.capacity.service import ServiceTimes

# As Knative 1.21 and KServe 0.20 write them for this project's predictor.
ANNOTATIONS = {
    "autoscaling.knative.dev/class": "kpa.autoscaling.knative.dev",
    "autoscaling.knative.dev/max-scale": "4",
    "autoscaling.knative.dev/metric": "concurrency",
    "autoscaling.knative.dev/min-scale": "1",
    "autoscaling.knative.dev/scale-down-delay": "1m30s",
    "autoscaling.knative.dev/target": "12",
    "autoscaling.knative.dev/target-burst-capacity": "-1",
}
TIMES = ServiceTimes(
    hit_request_s=0.0002, forward_request_s=0.001, text_s=0.0, batch_s=0.005, predict_request_s=0.003, char_s=0.0
)


def test_a_revision_is_read_as_the_autoscaler_reads_it() -> None:
    settings = kpa_settings(ANNOTATIONS, {"stable-window": "40s", "max-scale-down-rate": "3"}, slots=32)
    assert (settings.target, settings.metric, settings.container_concurrency) == (12, "concurrency", 32)
    assert (settings.min_scale, settings.max_scale, settings.target_burst_capacity) == (1, 4, -1)
    assert (settings.scale_down_delay_s, settings.stable_window_s, settings.max_scale_down_rate) == (90, 40, 3)
    assert settings.utilization == 0.7


def test_a_revision_wins_over_the_cluster_and_the_cluster_over_knative() -> None:
    cluster = {
        "container-concurrency-target-percentage": "0.5",
        "scale-down-delay": "15s",
        "target-burst-capacity": "0",
    }
    assert kpa_settings({}, cluster, slots=0).utilization == 0.5
    assert kpa_settings({}, cluster, slots=0).target_burst_capacity == 0
    assert kpa_settings(ANNOTATIONS, cluster, slots=0).scale_down_delay_s == 90
    per_second = {"autoscaling.knative.dev/metric": "rps"}
    assert kpa_settings(per_second, {"requests-per-second-target-default": "150"}, slots=0).target == 150


@pytest.mark.parametrize(("text", "expected"), [("60s", 60), ("1m30s", 90), ("0s", 0), ("250ms", 0.25), ("2h", 7200)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "60", "a minute", "1m 30s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        seconds(text)


class Cluster:
    """An API server with one InferenceService whose predictor has ``pods``: by name, whether each is ready."""

    def __init__(self) -> None:
        self.pods: dict[str, bool] = {"first": True}
        self.limits: dict[str, str] = {"cpu": "200m"}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                said = outer.answer(self.path)
                content = said.encode() if isinstance(said, str) else json.dumps(said).encode()
                self.send_response(200)
                self.send_header("content-type", "text/plain" if isinstance(said, str) else "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Keep quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, path: str) -> dict[str, Any] | str:
        revisions = {name: {"latestReadyRevision": f"sentiment-{name}-00002"} for name in ("transformer", "predictor")}
        labels = 'k8s_namespace_name="sentiment",kn_revision_name="sentiment-predictor-00002"'
        pods = (
            {"autoscaler": True} if "/knative-serving/" in path else self.pods if "sentiment-predictor" in path else {}
        )
        known: dict[str, dict[str, Any] | str] = {
            "/inferenceservices/": {"status": {"components": revisions}},
            "/podautoscalers/": {
                "metadata": {"annotations": ANNOTATIONS},
                "spec": {"containerConcurrency": 32},
                "status": {"desiredScale": 3},
            },
            "/revisions/": {"spec": {"containers": [{"resources": {"limits": self.limits}}]}},
            "/configmaps/": {"metadata": {}, "data": {"stable-window": "60s"}},
            "/proxy/metrics": "".join(
                f"kn_revision_concurrency_{window}{{{labels}}} {value}\n"
                for window, value in (("stable", 3.5), ("panic", 7))
            ),
            "/pods": {"items": [self._pod(name, ready=ready) for name, ready in pods.items()]},
        }
        return next(said for part, said in known.items() if part in path)

    @staticmethod
    def _pod(name: str, *, ready: bool) -> dict[str, Any]:
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": "2026-01-01T00:00:07Z"}
        metadata = {"name": name, "uid": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
        return {"metadata": metadata, "status": {"conditions": [condition]}}

    def close(self) -> None:
        """Refuse connections from now on; once more changes nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    double = Cluster()
    yield double
    double.close()


def revisions_of(cluster: Cluster, folder: Path) -> Revisions:
    path = folder / "kubeconfig"
    content = {
        "apiVersion": "v1", "kind": "Config", "current-context": "double",
        "contexts": [{"name": "double", "context": {"cluster": "double", "user": "nobody"}}],
        "clusters": [{"name": "double", "cluster": {"server": cluster.url}}],
        "users": [{"name": "nobody", "user": {}}],
    }  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    return Revisions(kubeconfig=path, namespace="sentiment", service="sentiment")


def until(holds: Callable[[], bool]) -> None:
    limit_s = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < limit_s
        time.sleep(0.02)


def test_a_cluster_is_watched(cluster: Cluster, tmp_path: Path) -> None:
    revisions = revisions_of(cluster, tmp_path)
    assert revisions.settings("predictor").container_concurrency == 32
    assert revisions.cpu_limit("predictor") == 0.2
    with Watch(revisions) as watch:
        until(lambda: bool(watch.looks))
        cluster.pods["second"] = False
        until(lambda: watch.looks[-1].at_s > 1)
        cluster.pods["second"] = True
        until(lambda: watch.looks[-1].ready["predictor"] == 2)
    first = watch.looks[0]
    assert (first.ready["predictor"], first.wanted["predictor"]) == (1, 3)
    assert (first.stable, first.panic) == (3.5, 7)
    assert watch.cold_starts_s["predictor"] == [7.0], "the pod that was there before is no cold start"


def test_a_container_without_a_limit_is_named(cluster: Cluster, tmp_path: Path) -> None:
    cluster.limits.clear()
    with pytest.raises(ValueError, match="the predictor's container has no limit"):
        revisions_of(cluster, tmp_path).cpu_limit("predictor")


def test_a_cluster_that_goes_away_ends_the_watch(cluster: Cluster, tmp_path: Path) -> None:
    revisions = revisions_of(cluster, tmp_path)
    watch = Watch(revisions)
    watch.__enter__()
    cluster.close()
    watch._thread.join(30)
    with pytest.raises(RuntimeError, match="could not be asked any more"):
        watch.__exit__(None, None, None)


def recording(*, peak: float) -> dict[str, Any]:
    """Say what a cluster did under a spike: two more pods for its second half, gone a minute after."""
    looks = [
        {
            "at_s": at_s,
            "ready": {"transformer": 1, "predictor": 3 if 40 <= at_s < 180 else 1},
            "wanted": {"predictor": 3},
        }
        for at_s in range(-10, 300)
    ]
    kpa = dataclasses.asdict(kpa_settings(ANNOTATIONS, {}, slots=32))
    return {
        "spike": {"rate": 5, "peak": peak, "duration_s": 120, "hit_share": 0.0},
        "kpa": {"transformer": {**kpa, "max_scale": 1}, "predictor": kpa},
        "cpu_limit": {"transformer": 1.0, "predictor": 0.2},
        "cold_starts_s": {"transformer": [], "predictor": [6.0, 8.0]},
        "looks": looks,
        "latency": {"all": {"p50_ms": 20.0, "p99_ms": 900.0}},
        "requests": {"failed_share": 0.01},
        "machine": {"cpus": 2},
    }


def test_the_load_is_k6_s_own_spike() -> None:
    spike = Spike(rate=5, peak=50, duration_s=120, hit_share=0.5)
    assert spike.settings()["PEAK_FACTOR"] == 10
    assert [(at_s, rate) for at_s, rate in spike.points()][:5] == [(0, 5), (30, 5), (31, 50), (91, 50), (92, 5)]


def test_a_spike_that_one_pod_cannot_carry_is_foretold_to_bring_more() -> None:
    heavy, light = recording(peak=60), recording(peak=6)
    assert max(pods for _, pods in foretold_course(foretell(heavy, TIMES, Hops()), lead_s=10)) > 1
    assert max(pods for _, pods in foretold_course(foretell(light, TIMES, Hops()), lead_s=10)) == 1


def test_two_courses_are_compared_by_when_pods_come_and_go() -> None:
    real = course_of(looks_of(recording(peak=60)))
    found = milestones(real, jump_s=30, end_s=91)
    assert found["most pods"] == 3
    assert found["first more, s after the jump"] == 10
    assert found["as before, s after the peak's end"] == 89
    assert pods_at(real, 39.5) == 1
    assert off_by(real, real) == 0
    assert off_by(real, [(-10, 1)]) == pytest.approx(2 * 140 / 310)


def test_our_arithmetic_is_held_against_the_real_decisions_on_what_the_real_one_saw() -> None:
    found = recording(peak=60)
    assert decided_course(found) == [], "an older recording has no concurrency"
    for look in found["looks"]:
        busy = 0 <= look["at_s"] < 100
        look |= {"stable": 20.0 if busy else 0.0, "panic": 20.0 if busy else 0.0}
    wanted = decided_course(found)
    # 20 at once, 8.4 to a pod.
    assert max(pods for _, pods in wanted) == 3
    assert {round(later[0] - earlier[0]) for earlier, later in itertools.pairwise(wanted)} == {2}


def test_the_page_says_both_and_by_how_much_they_differ() -> None:
    found = recording(peak=60)
    text = page(found, foretell(found, TIMES, Hops()), plot="autoscaling.svg")
    assert "ready after 7 s (median of 2)" in text
    assert "| most pods | 3 |" in text
    assert "differ by" in text


P50_MS = {NO_CLUSTER: (0.2, 4.0), CONTAINER: (0.2, 7.2), QUEUE_PROXY: (0.6, 8.0), GATEWAY: (1.3, 9.0)}
ROUTE = {
    "p50_ms": {way: {"hit": [hit, hit, 90], "miss": [1, miss, miss]} for way, (hit, miss) in P50_MS.items()},
    "rounds": 3, "round_s": 5, "machine": {},
}  # fmt: skip


def test_hops_are_what_each_way_adds_and_the_activator_is_the_rest_of_a_miss() -> None:
    found = hops_of(ROUTE)
    expected = Hops(gateway_s=0.0007, queue_proxy_s=0.0004, activator_s=0.0032 - 0.0007 - 0.0004)
    assert dataclasses.asdict(found) == pytest.approx(dataclasses.asdict(expected))
    # Noise makes no hop that gives time back.
    calm = {"hit": [1.0], "miss": [2.0]}
    assert hops_of({"p50_ms": {**dict.fromkeys(P50_MS, calm), GATEWAY: {"hit": [0.9], "miss": [2.0]}}}) == Hops()
    with pytest.raises(ValueError, match=r"nothing about .no cluster"):
        hops_of({"p50_ms": {CONTAINER: calm}})


def test_each_way_is_set_beside_the_one_before() -> None:
    text = route_page(ROUTE)
    assert "| queue-proxy | 0.60 | 0.40 | 8.00 | 0.80 |" in text
    assert "gateway 0.70 ms, queue-proxy 0.40 ms,\nactivator 2.10 ms" in text
    assert [way.host for way in ways_to("10.0.0.9", url="https://gateway", host="a.example")] == [
        "",
        "a.example",
        "a.example",
    ]


def test_the_committed_pages_are_what_their_recordings_give() -> None:
    route = json.loads((REPO / "load" / "reports" / "route" / "route.json").read_text())
    assert route_page(route) == (REPO / "load" / "reports" / "route" / "route.md").read_text()
    folder = REPO / "load" / "reports" / "autoscaling"
    found = json.loads((folder / "recording.json").read_text())
    times = ServiceTimes(**json.loads((folder / "service_times.json").read_text())["service_times"])
    timeline = foretell(found, times, hops_of(route))
    assert page(found, timeline, plot="autoscaling.svg") == (folder / "autoscaling.md").read_text()
    wanted = [(look.at_s, look.wanted["predictor"]) for look in looks_of(found)]
    assert off_by(decided_course(found), wanted) < 0.1, "our arithmetic is the real autoscaler's"
