"""Print a scenario as a TestRun of the k6 operator: ``python -m load.testrun smoke --url ... | kubectl apply -f -``.

The scenario travels with its libraries and data as a k6 archive in a ConfigMap; settings are environment variables of
this command, as for ``python -m load.run``, and are frozen into the archive, except for secrets.
"""

import argparse
import base64
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from load.machine import k6_binary
from load.run import LOAD, SCENARIOS

TEMPLATE = LOAD / "k8s" / "testrun.yaml"
SETTINGS_SOURCE = LOAD / "lib" / "settings.js"
# Set from a Secret, by this command, or without meaning in a pod.
NOT_FROZEN = {"API_KEY", "JWT", "URL", "OUT", "MACHINE", "JSON_LOG", "INSTANCE"}
CONFIG_MAP_LIMIT_BYTES = 1024 * 1024


def setting_names() -> set[str]:
    """Give the names of all settings that the scenarios read."""
    return set(re.findall(r"^  ([A-Z][A-Z0-9_]+): ", SETTINGS_SOURCE.read_text(encoding="utf-8"), re.MULTILINE))


def archive(scenario: str, settings: dict[str, str]) -> bytes:
    """Pack a scenario with everything it imports and the settings it runs with.

    Raises:
        ValueError: the archive does not fit into a ConfigMap.
    """
    with tempfile.TemporaryDirectory(prefix="load-archive-") as folder:
        path = Path(folder) / "archive.tar"
        given = [part for name, value in sorted(settings.items()) for part in ("-e", f"{name}={value}")]
        line = [k6_binary(), "archive", *given, "-O", str(path)]
        subprocess.run([*line, str(LOAD / "scenarios" / f"{scenario}.js")], check=True, capture_output=True)
        packed = path.read_bytes()
    if len(base64.b64encode(packed)) > CONFIG_MAP_LIMIT_BYTES:
        raise ValueError(f"the archive of {scenario} has {len(packed)} bytes, more than a ConfigMap holds")
    return packed


def objects(scenario: str, settings: dict[str, str], *, namespace: str, parallelism: int) -> list[dict[str, Any]]:
    """Give the ConfigMap and the TestRun."""
    run: dict[str, Any] = yaml.safe_load(TEMPLATE.read_text(encoding="utf-8"))
    name = f"{run['metadata']['name']}-{scenario.replace('_', '-')}"
    run["metadata"] |= {"name": name, "namespace": namespace}
    run["spec"]["parallelism"] = parallelism
    run["spec"]["script"]["configMap"]["name"] = name
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": run["metadata"]["labels"]},
        "binaryData": {"archive.tar": base64.b64encode(archive(scenario, settings)).decode()},
    }
    if parallelism > 1:
        # Runners number their iterations alike: the pod's name keeps their unique texts apart.
        run["spec"]["runner"]["env"].append(
            {"name": "INSTANCE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
        )
    return [config, run]


def main() -> int:
    """Print the objects as YAML."""
    parser = argparse.ArgumentParser(prog="python -m load.testrun", description=__doc__.splitlines()[0])
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--url", required=True, help="service under load, as seen from inside the cluster")
    parser.add_argument("--namespace", default="sentiment")
    parser.add_argument("--parallelism", type=int, default=1)
    options = parser.parse_args()
    chosen = {name: os.environ[name] for name in setting_names() - NOT_FROZEN if os.environ.get(name)}
    settings = {**chosen, "URL": options.url}
    try:
        made = objects(options.scenario, settings, namespace=options.namespace, parallelism=options.parallelism)
    except (OSError, ValueError, subprocess.CalledProcessError) as reason:
        print(reason, file=sys.stderr)
        return 2
    print(yaml.safe_dump_all(made, sort_keys=False), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
