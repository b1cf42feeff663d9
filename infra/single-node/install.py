"""Installs the platform on the single node: ``install.py [--from STEP]``.

What installs it is infra/platform/install.sh, with its own values and objects; only where things come from differs:
charts out of Go modules, images of programs compiled here. README.md lists the differences. Run again, it changes
nothing.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import images
from parts import charts, go_modules, knative_release, machine, monitoring, platform_images
from parts.layout import REPOSITORY, Layout
from parts.versions import read_versions

HERE = Path(__file__).resolve().parent
PLATFORM = REPOSITORY / "infra" / "platform"
STEPS = ("check", "namespaces", "cert_manager", "istio", "certificate", "knative", "kserve", "prometheus", "verify")
# The versions that the platform's scripts know by these names.
VERSIONS = ("CERT_MANAGER_VERSION", "ISTIO_VERSION", "KNATIVE_OPERATOR_VERSION", "KSERVE_VERSION")
FIELD_MANAGER = "single-node"
# What images are made of and no Go module brings.
PROGRAMS = {"redis-server": "redis-server"}


class InstallError(Exception):
    """The platform cannot be installed."""


KNOWN = (
    *(InstallError, images.ImageError, machine.MachineError),
    *(platform_images.MissingProgramError, go_modules.ModuleError),
)


class Installation:
    """The platform on one node.

    Args:
        layout: the node's names and folders.
        say: gets each step, for people.
    """

    def __init__(self, *, layout: Layout, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._say = say
        self._versions = read_versions()

    def load_images(self) -> None:
        """Write and import images."""
        machine.install_missing(PROGRAMS, plugins=())
        imported = platform_images.load(self._layout, versions=self._versions)
        self._say(f"{len(imported)} images of the platform imported")

    def install(self, *, first: str) -> None:
        """Run install.sh's steps from one on, and the node's own objects before those that need them."""
        prepared = charts.prepare(self._layout.output, versions=self._versions)
        environment = self._environment(prepared)
        own = {
            "istio": self._apply_gateway_api,
            "knative": self._apply_ingress_controller,
            "kserve": self._apply_gateway,
            "prometheus": self._apply_prometheus,
        }
        for step in STEPS[STEPS.index(first) :]:
            began_s = time.monotonic()
            own.get(step, lambda: None)()
            command = [str(PLATFORM / "install.sh"), "--only", step]
            if subprocess.run(command, env=environment, check=False).returncode:
                raise InstallError(f"step {step} failed, its words are above; afterwards: install.py --from {step}")
            self._say(f"{step} took {time.monotonic() - began_s:.0f} s")

    def _environment(self, prepared: charts.Charts) -> Mapping[str, str]:
        output = self._layout.output
        # A change of the node's values has to reach Helm, and install.sh looks at its own and at the version.
        versions = {name: f"{self._versions[name]}+{prepared.digest}" for name in VERSIONS}
        versions["KNATIVE_SERVING_VERSION"] = self._versions["KNATIVE_SERVING_VERSION"]
        version_file = output / "platform-versions.env"
        version_file.write_text("".join(f"{key}={value}\n" for key, value in versions.items()))
        return {
            **os.environ,
            "PATH": f"{HERE / 'helm'}:{os.environ['PATH']}",
            "KUBECONFIG": str(self._layout.kubeconfig),
            "PLATFORM_SETTINGS": str(HERE / "settings.env"),
            "PLATFORM_VERSIONS": str(version_file),
            "SINGLE_NODE_HELM": str(self._layout.binaries / "helm"),
            "SINGLE_NODE_CHARTS": str(prepared.charts),
            "SINGLE_NODE_VALUES": str(prepared.values),
            "WAIT_INTERVAL_S": "1",
        }

    def _apply_gateway_api(self) -> None:
        module = go_modules.directory("net-gateway-api", "knative.dev/net-gateway-api")
        self._apply((module / "third_party" / "gateway-api" / "gateway-api.yaml").read_text())

    def _apply_ingress_controller(self) -> None:
        module = go_modules.directory("net-gateway-api", "knative.dev/net-gateway-api")
        named = platform_images.names(self._versions)
        self._apply((HERE / "objects" / "ingress.yaml").read_text())
        self._apply(knative_release.gateway_api_controller(module, images=named))

    def _apply_gateway(self) -> None:
        self._apply((HERE / "objects" / "gateway.yaml").read_text())

    def _apply_prometheus(self) -> None:
        module = go_modules.directory("istio", "github.com/prometheus-operator/prometheus-operator")
        named = platform_images.names(self._versions)
        self._apply(monitoring.operator(module, images={name: named[name] for name in platform_images.MONITORING}))
        self._apply(monitoring.objects(version=self._versions["PROMETHEUS_VERSION"]))

    def _apply(self, text: str) -> None:
        command = ["kubectl", f"--kubeconfig={self._layout.kubeconfig}", "apply", "--server-side", "--force-conflicts"]
        done = subprocess.run(
            [*command, f"--field-manager={FIELD_MANAGER}", "--filename=-"],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise InstallError(f"kubectl apply: {done.stderr.strip()}")


def main() -> int:
    """Load images, install."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--from", dest="first", default=STEPS[0], choices=STEPS)
    told = parser.parse_args()
    began_s = time.monotonic()
    installation = Installation(layout=Layout(), say=lambda line: print(f"cluster: {line}", flush=True))
    try:
        installation.load_images()
        installation.install(first=told.first)
    except KNOWN as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    print(f"cluster: the platform is there after {time.monotonic() - began_s:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
