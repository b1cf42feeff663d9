"""The control groups that hold every process of a node: how they are found, measured, ended and removed."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from parts.processes import is_running

# A folder that a process has just left can stay busy for a moment.
REMOVE_LIMIT_S = 10.0
END_LIMIT_S = 20.0
# To the kernel a group is worth one process of its parent's, however many it holds: a busy machine would starve it.
NODE_WEIGHT = 16
# Pods weigh what their node has processors: what keeps them running shall weigh more.
PROGRAMS_WEIGHT = 4
# File to what one process is worth there, by the kernel's version of control groups.
WEIGHTS = {"cpu.shares": 1024, "cpu.weight": 100}


def hierarchies() -> list[Path]:
    """Give where the kernel's hierarchies are mounted: one of version 2, or several of version 1."""
    lines = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [Path(place) for _, place, kind, *_ in lines if kind in {"cgroup", "cgroup2"}]


class ControlGroup:
    """The same group in every hierarchy.

    Args:
        name: its folder's name.
    """

    def __init__(self, *, name: str) -> None:
        self._folders = [place / name for place in hierarchies()]

    def make(self) -> None:
        """Make it."""
        for folder in self._folders:
            self._offer_controllers(folder.parent)
            self._make(folder, weight=NODE_WEIGHT)

    def files_to_join(self, child: str) -> list[Path]:
        """Make a child in every hierarchy; a process that writes 0 to these files is in it."""
        for folder in self._folders:
            self._offer_controllers(folder)
            self._make(folder / child, weight=PROGRAMS_WEIGHT)
        return [folder / child / "cgroup.procs" for folder in self._folders]

    def processes(self) -> set[int]:
        """Give the pids of everything in it or below that has not ended."""
        found: set[int] = set()
        for folder in self._all():
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in (folder / "cgroup.procs").read_text().split())
        return {pid for pid in found if is_running(pid)}

    def memory_bytes(self) -> int:
        """Give the memory that its processes hold, without what the kernel caches of files."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                told = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                return int(told.get("total_rss", told.get("anon", 0)))
        return 0

    def end(self) -> None:
        """Kill what is in it, and wait until all are gone; raises TimeoutError when some stay."""
        limit_s = time.monotonic() + END_LIMIT_S
        while left := self.processes():
            if time.monotonic() > limit_s:
                raise TimeoutError(f"processes {sorted(left)} do not end")
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def remove(self) -> None:
        """Remove it with everything below; raises TimeoutError when something stays busy."""
        limit_s = time.monotonic() + REMOVE_LIMIT_S
        while left := list(self._all()):
            for folder in left:
                with contextlib.suppress(OSError):
                    folder.rmdir()
            if time.monotonic() > limit_s:
                raise TimeoutError(f"control group {left[-1]} stays busy")

    def _all(self) -> Iterator[Path]:
        for top in self._folders:
            for folder, _, _ in os.walk(top, topdown=False):
                yield Path(folder)

    @staticmethod
    def _make(folder: Path, *, weight: int) -> None:
        folder.mkdir(exist_ok=True)
        # Version 1 lets nobody into a group before it is told its processors and memory nodes.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (folder / setting).exists() and not (folder / setting).read_text().strip():
                (folder / setting).write_text((folder.parent / setting).read_text())
        for setting, one in WEIGHTS.items():
            if (folder / setting).exists():
                (folder / setting).write_text(str(weight * one))

    @staticmethod
    def _offer_controllers(root: Path) -> None:
        """On version 2 a group has the controllers that its parent offers."""
        offered = root / "cgroup.subtree_control"
        if not offered.exists():
            return
        for controller in (root / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):
                offered.write_text(f"+{controller}")
