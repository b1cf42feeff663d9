"""Tells Prometheus how often the kernel held this container's threads back because its CPU quota ran out."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

_NS_PER_S = 1e9
_US_PER_S = 1e6


class Throttling(Collector):
    """Reads ``cpu.stat`` of the container's cgroup, version 2 or 1, at every scrape; silent where there is no quota.

    Args:
        service: what the names of its metrics begin with.
        root: where ``sys`` lies.
    """

    def __init__(self, *, service: str, root: Path = Path("/")) -> None:
        self._name = f"{service}_cpu"
        mount = root / "sys/fs/cgroup"
        self._places = (mount / "cpu.stat", mount / "cpu,cpuacct/cpu.stat", mount / "cpu/cpu.stat")

    def collect(self) -> Iterator[Metric]:
        """Give the families."""
        said = self._read()
        periods = CounterMetricFamily(f"{self._name}_periods", "CPU quota periods.")
        throttled = CounterMetricFamily(
            f"{self._name}_throttled_periods", "CPU quota periods in which the quota ran out."
        )
        seconds = CounterMetricFamily(f"{self._name}_throttled_seconds", "Seconds for which threads were throttled.")
        if "nr_periods" in said:
            periods.add_metric((), said["nr_periods"])
            throttled.add_metric((), said["nr_throttled"])
            # Version 2 counts in microseconds, version 1 in nanoseconds, under different names.
            in_v1_s = said.get("throttled_time", 0) / _NS_PER_S
            seconds.add_metric((), said["throttled_usec"] / _US_PER_S if "throttled_usec" in said else in_v1_s)
        yield from (periods, throttled, seconds)

    def _read(self) -> dict[str, int]:
        for place in self._places:
            try:
                lines = place.read_text().split("\n")
            except OSError:
                continue
            pairs = (line.split() for line in lines if line)
            return {name: int(value) for name, value in pairs}
        return {}
