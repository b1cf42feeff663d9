"""Processes as this machine sees them: whether a recorded one is still the same, and how large one is."""

import contextlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Handle:
    """A process that stays itself even when its number is given to another.

    Args:
        pid: its number.
        started: when, in the kernel's ticks since the machine started.
    """

    pid: int
    started: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Take hold of a running process; raises ProcessLookupError."""
        started = _started(pid)
        if started is None:
            raise ProcessLookupError(pid)
        return cls(pid=pid, started=started)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read one from a file; None where there is none."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None

    def write(self, path: Path) -> None:
        """Keep it in a file."""
        path.write_text(json.dumps(asdict(self)))

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return _started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it is gone."""
        with contextlib.suppress(ProcessLookupError):
            # Held open, the number cannot pass to another process between the look and the signal.
            held = os.pidfd_open(self.pid)
            try:
                if self.alive():
                    signal.pidfd_send_signal(held, number)
            finally:
                os.close(held)


def is_running(pid: int) -> bool:
    """Tell whether a process has not ended; one that nobody has waited for has."""
    return _started(pid) is not None


def pid_in_node(pid: int) -> int:
    """Give a process's number in the innermost namespace that it lives in; 0 when it is gone."""
    found = _status(pid).get("NSpid", "0")
    return int(found.split()[-1])


def resident_bytes(pid: int) -> int:
    """Give a process's resident memory; 0 when it is gone."""
    return int(_status(pid).get("VmRSS", "0 kB").split()[0]) * 1024


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _started(pid: int) -> int | None:
    try:
        # The second field, a name in brackets, may hold anything: what counts comes after its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])
