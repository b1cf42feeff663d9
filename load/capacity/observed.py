"""What a real KPA does: its settings as the cluster has them, and a component's pods, second by second.

Sources: the annotations of Knative's PodAutoscaler, the ConfigMap config-autoscaler, the metrics of Knative's
autoscaler, and pods' conditions.
"""

import dataclasses
import datetime as dt
import re
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from load.capacity.kpa import KpaSettings

COMPONENTS = ("transformer", "predictor")
_ANNOTATION = "autoscaling.knative.dev/"
_AUTOSCALER_METRICS_PORT = 9090
_CONCURRENCY = re.compile(r"^kn_revision_concurrency_(stable|panic)\{([^}]*)\} (\S+)$", re.MULTILINE)
_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclasses.dataclass(frozen=True, slots=True)
class Look:
    """One look at the cluster.

    Attributes:
        at_s: seconds from the start.
        ready: by component, pods that are ready.
        wanted: by component, pods that the KPA wants.
        stable: the predictor's concurrency as the KPA has it, mean of the stable window; None where it has none.
        panic: the same of its panic window.
    """

    at_s: float
    ready: Mapping[str, int]
    wanted: Mapping[str, int]
    stable: float | None = None
    panic: float | None = None


def seconds(text: str) -> float:
    """Read a Go duration such as ``1m30s``.

    Raises:
        ValueError: it is none.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration such as 1m30s")
    return sum(float(number) * _UNITS_S[unit] for number, unit in parts)


def kpa_settings(annotations: Mapping[str, str], cluster: Mapping[str, str], *, slots: int) -> KpaSettings:
    """Give a revision's settings as the KPA reads them.

    Args:
        annotations: the PodAutoscaler's.
        cluster: data of the ConfigMap config-autoscaler; Knative's defaults where it says nothing.
        slots: the revision's containerConcurrency, 0 for no limit.
    """
    own = {name.removeprefix(_ANNOTATION): text for name, text in annotations.items() if name.startswith(_ANNOTATION)}
    both = {**cluster, **own}
    metric = own.get("metric", "concurrency")
    default = cluster.get("requests-per-second-target-default", "200") if metric == "rps" else "100"
    share = own.get("target-utilization-percentage") or cluster.get("container-concurrency-target-percentage") or "70"
    percentage = float(share)
    return KpaSettings(
        target=float(own.get("target", default)),
        metric=metric,
        # A share below 1 is one already, as Knative reads it.
        utilization=percentage / 100 if percentage > 1 else percentage,
        container_concurrency=slots,
        stable_window_s=seconds(own.get("window") or cluster.get("stable-window") or "60s"),
        panic_window_percentage=float(both.get("panic-window-percentage", "10")),
        panic_threshold_percentage=float(both.get("panic-threshold-percentage", "200")),
        max_scale_up_rate=float(cluster.get("max-scale-up-rate", "1000")),
        max_scale_down_rate=float(cluster.get("max-scale-down-rate", "2")),
        target_burst_capacity=float(both.get("target-burst-capacity", "211")),
        scale_down_delay_s=seconds(both.get("scale-down-delay", "0s")),
        min_scale=int(own.get("min-scale", cluster.get("min-scale", "0"))),
        max_scale=int(own.get("max-scale", cluster.get("max-scale", "0"))),
        initial_scale=int(own.get("initial-scale", cluster.get("initial-scale", "1"))),
        activation_scale=int(own.get("activation-scale", "1")),
        scale_to_zero_grace_s=seconds(cluster.get("scale-to-zero-grace-period", "30s")),
    )


class Revisions:
    """The newest revision of each component of one InferenceService.

    Args:
        kubeconfig: None for the user's own.
        namespace: where the service lives.
        service: the InferenceService's name.
    """

    def __init__(self, *, kubeconfig: Path | None, namespace: str, service: str) -> None:
        config.load_kube_config(config_file=str(kubeconfig) if kubeconfig else None)
        self._core = client.CoreV1Api()
        self._custom = client.CustomObjectsApi()
        self._namespace = namespace
        status = self._get("serving.kserve.io", "v1beta1", "inferenceservices", service).get("status", {})
        try:
            self.names = {name: status["components"][name]["latestReadyRevision"] for name in COMPONENTS}
        except KeyError as missing:
            raise ValueError(f"InferenceService {namespace}/{service} has no ready revision yet: {missing}") from None

    def settings(self, component: str) -> KpaSettings:
        """Give what the KPA scales a component by."""
        found = self._autoscaler(component)
        cluster = self._core.read_namespaced_config_map("config-autoscaler", "knative-serving").data or {}
        slots = int(found["spec"].get("containerConcurrency") or 0)
        return kpa_settings(found["metadata"].get("annotations", {}), cluster, slots=slots)

    def cpu_limit(self, component: str) -> float:
        """Give the CPUs that the component's own container may use; raises ValueError where there is no limit."""
        spec = self._get("serving.knative.dev", "v1", "revisions", self.names[component])["spec"]
        limits = spec["containers"][0].get("resources", {}).get("limits", {})
        if "cpu" not in limits:
            raise ValueError(f"the {component}'s container has no limit for its CPU: the simulator needs one")
        text = str(limits["cpu"])
        return float(text.removesuffix("m")) / 1000 if text.endswith("m") else float(text)

    def wanted(self, component: str) -> int:
        """Give how many pods the KPA wants of a component."""
        return int(self._autoscaler(component)["status"].get("desiredScale") or 0)

    def concurrency(self, component: str) -> tuple[float | None, float | None]:
        """Give a component's concurrency over the stable and the panic window, as the autoscaler's metrics have it."""
        pods = self._core.list_namespaced_pod("knative-serving", label_selector="app=autoscaler").items
        if not pods:
            return None, None
        said: str = self._core.connect_get_namespaced_pod_proxy_with_path(
            f"{pods[0].metadata.name}:{_AUTOSCALER_METRICS_PORT}", "knative-serving", "metrics"
        )
        found = {
            window: float(value)
            for window, labels, value in _CONCURRENCY.findall(said)
            if f'kn_revision_name="{self.names[component]}"' in labels
            and f'k8s_namespace_name="{self._namespace}"' in labels
        }
        return found.get("stable"), found.get("panic")

    def pods(self, component: str) -> list[Any]:
        """Give the revision's pods that are not on their way out."""
        selector = f"serving.knative.dev/revision={self.names[component]}"
        found = self._core.list_namespaced_pod(self._namespace, label_selector=selector).items
        return [pod for pod in found if pod.metadata.deletion_timestamp is None]

    def _autoscaler(self, component: str) -> dict[str, Any]:
        name = self.names[component]
        return self._get("autoscaling.internal.knative.dev", "v1alpha1", "podautoscalers", name)

    def _get(self, group: str, version: str, plural: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self._custom.get_namespaced_custom_object(group, version, self._namespace, plural, name)
        return found


class Watch:
    """Looks once a second until the block ends; notes how long each new pod took from its making until it was ready."""

    def __init__(self, revisions: Revisions) -> None:
        self.looks: list[Look] = []
        self.cold_starts_s: dict[str, list[float]] = {name: [] for name in COMPONENTS}
        self._revisions = revisions
        self._known = {pod.metadata.uid for name in COMPONENTS for pod in revisions.pods(name)}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._trouble: Exception | None = None

    def __enter__(self) -> Self:
        self._began_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(60)
        if self._trouble is not None and error is None:
            raise RuntimeError(f"the cluster could not be asked any more: {self._trouble}") from self._trouble

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began_s

    def _run(self) -> None:
        try:
            while not self._over.wait(max(0.0, len(self.looks) - self.now_s)):
                self._look()
        except (ApiException, HTTPError) as error:  # told by the thread that waits
            self._trouble = error

    def _look(self) -> None:
        at_s, ready = self.now_s, dict.fromkeys(COMPONENTS, 0)
        for name in COMPONENTS:
            for pod in self._revisions.pods(name):
                ready_at = _ready_at(pod)
                if ready_at is None:
                    continue
                ready[name] += 1
                if pod.metadata.uid not in self._known:
                    self._known.add(pod.metadata.uid)
                    self.cold_starts_s[name].append((ready_at - pod.metadata.creation_timestamp).total_seconds())
        wanted = {name: self._revisions.wanted(name) for name in COMPONENTS}
        stable, panic = self._revisions.concurrency("predictor")
        self.looks.append(Look(at_s, ready=ready, wanted=wanted, stable=stable, panic=panic))


def _ready_at(pod: Any) -> dt.datetime | None:
    conditions: Iterable[Any] = pod.status.conditions or ()
    for condition in conditions:
        if condition.type == "Ready" and condition.status == "True":
            at: dt.datetime = condition.last_transition_time
            return at
    return None
