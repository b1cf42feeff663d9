"""Describes the machine of a run, for the record beside its numbers."""

import json
import os
import platform
import shutil
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def k6_binary() -> str:
    """Give the path of k6: variable K6, else beside this interpreter, else on the PATH.

    Raises:
        FileNotFoundError: there is no k6.
    """
    beside = Path(sys.executable).with_name("k6")
    found = os.environ.get("K6") or (str(beside) if beside.exists() else shutil.which("k6"))
    if not found:
        raise FileNotFoundError("k6 is not installed: `make load` brings it, or set K6 to its path")
    return found


def cpu_model() -> str:
    """Give the processor's name, or the architecture if the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def usable_cpus() -> int:
    """Give the number of CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine_facts() -> dict[str, Any]:
    """Describe this machine: processor, usable CPUs, memory in MiB, load before the run, versions."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    return {
        "cpu": cpu_model(),
        "cpus": usable_cpus(),
        "memory_mib": pages // 2**20,
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "k6": subprocess.run([k6_binary(), "version"], capture_output=True, text=True, check=True).stdout.split()[1],
    }


def tls(settings: Mapping[str, str]) -> ssl.SSLContext:
    """Give how the target's certificate is judged: not at all with INSECURE, as k6 is told too."""
    context = ssl.create_default_context()
    if settings.get("INSECURE", "").lower() in {"1", "true", "yes"}:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def model_facts(url: str, headers: dict[str, str], *, context: ssl.SSLContext | None = None) -> dict[str, Any]:
    """Ask the target which model it serves; empty if it does not say."""
    # The caller names the URL: it is the service under load.
    request = urllib.request.Request(f"{url}/v2/models/sentiment", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5, context=context) as answer:
            metadata = json.loads(answer.read())
    except (OSError, urllib.error.URLError, json.JSONDecodeError):
        return {}
    facts = {"model_version": ",".join(metadata.get("versions") or []), "platform": metadata.get("platform", "")}
    return {name: value for name, value in facts.items() if value}
