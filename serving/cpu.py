"""How many CPUs this process may really use."""

import os
from collections.abc import Callable
from pathlib import Path

_MOUNT = Path("sys/fs/cgroup")
# Libraries read these when they load.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
# Tokenising is a hundredth of the work; its own pool would only push the engine off its CPUs.
_SERIAL_TOKENISER = ("TOKENIZERS_PARALLELISM", "false")


def available_cpus(*, root: Path = Path("/"), affinity: int | None = None) -> int:
    """Give the CPUs of this container: the smaller of its quota, rounded down, and its affinity; at least 1.

    Libraries count the node's cores and then fight over a quota. A quota of 1.5 gives 1: a second thread would be
    throttled in the middle of every forward.

    Args:
        root: where ``proc`` and ``sys`` lie.
        affinity: CPUs this process may be scheduled on; asked of the kernel when not given.
    """
    cpus = affinity if affinity is not None else len(os.sched_getaffinity(0))
    quota = quota_cpus(root=root)
    return max(1, cpus if quota is None else min(cpus, int(quota)))


def quota_cpus(*, root: Path = Path("/")) -> float | None:
    """Give the CPU quota of this process's cgroup or the tightest one above it, None when there is no limit."""
    quotas: list[float] = []
    for hierarchy, controllers, path in _memberships(root):
        if hierarchy == "0":
            quotas += _quotas_upwards(root / _MOUNT, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            mounts = [root / _MOUNT / name for name in (controllers, "cpu")]
            mount = next((m for m in mounts if m.is_dir()), mounts[-1])
            quotas += _quotas_upwards(mount, path, _quota_v1)
    return min(quotas, default=None)


def limit_library_threads(threads: int) -> None:
    """Make libraries that count the node's cores use ``threads`` instead; call it before they load.

    Values the operator has set are kept.
    """
    for variable in _THREAD_VARIABLES:
        os.environ.setdefault(variable, str(threads))
    os.environ.setdefault(*_SERIAL_TOKENISER)


def _memberships(root: Path) -> list[tuple[str, str, str]]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    fields = [line.split(":", 2) for line in lines]
    return [(f[0], f[1], f[2]) for f in fields if len(f) == 3]


def _quotas_upwards(mount: Path, path: str, read: Callable[[Path], float | None]) -> list[float]:
    """Give the quotas from the cgroup up to its mount: a parent's limit binds its children."""
    place = mount / path.strip("/")
    # In a container the path may be the host's and lie nowhere here: then the mount itself is this container.
    places = [p for p in (place, *place.parents) if p.is_relative_to(mount)] if place.is_dir() else [mount]
    return [quota for p in places if (quota := read(p)) is not None]


def _quota_v2(place: Path) -> float | None:
    try:
        quota, period = (place / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(place: Path) -> float | None:
    try:
        quota = int((place / "cpu.cfs_quota_us").read_text())
        period = int((place / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
