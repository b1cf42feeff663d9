"""A CPU quota for a process, as a container's limit sets it: a cgroup (v2 or v1) with cpu.max or cpu.cfs_quota_us."""

import os
import time
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


class CpuQuota:
    """A cgroup that gives its processes ``cpus`` cores per period; needs the right to make cgroups (root, mostly).

    Raises:
        PermissionError: this user may not make cgroups here.
        OSError: there is no CPU controller.
    """

    def __init__(self, *, name: str, cpus: float, period_s: float = 0.1) -> None:
        period_us = round(period_s * 1e6)
        quota_us = round(cpus * period_us)
        if (CGROUPS / "cgroup.controllers").exists():
            self._folder = CGROUPS / name
            limits = {"cpu.max": f"{quota_us} {period_us}"}
        elif (CGROUPS / "cpu" / "cpu.cfs_quota_us").exists():
            self._folder = CGROUPS / "cpu" / name
            limits = {"cpu.cfs_period_us": str(period_us), "cpu.cfs_quota_us": str(quota_us)}
        else:
            raise OSError(f"{CGROUPS} has no CPU controller that this program knows")
        self._folder.mkdir()
        for file, value in limits.items():
            (self._folder / file).write_text(value)

    def add(self, pid: int) -> None:
        """Put a process, with the threads it has and will have, under the quota."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        """Remove the cgroup once its processes have ended."""
        for _ in range(50):
            try:
                self._folder.rmdir()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise OSError(f"{self._folder} still has processes")


def cpu_seconds(pid: int) -> float:
    """Give the CPU seconds that a process has used so far, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
