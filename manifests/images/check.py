"""Build both images on a stand-in base and check what they promise: `sudo make images-check`.

Needs root, buildah and debootstrap, and what pip needs. Prints every image's layers and sizes, then runs both as the
manifests do (arguments, user, read-only root) and asks for answers over HTTP.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml
from sandbox import STAND_IN, Buildah, Container

REPOSITORY = Path(__file__).resolve().parents[2]
PORTS = {"predictor": 18581, "transformer": 18580}
MEGABYTE = 1_000_000

# Of the whole image, with the official base's share: the stand-in is larger and counts as that.
LIMITS_MB = {"transformer": 300, "predictor": 650}
OFFICIAL_BASE_MB = 130

QUESTIONS: list[tuple[str, Any]] = [
    ("/predict", {"text": ["a gripping, moving and beautiful film", "a dull and lifeless mess"]}),
    (
        "/v1/models/sentiment:predict",
        {"instances": ["a gripping, moving and beautiful film", "a dull and lifeless mess"]},
    ),
]


class FailedError(Exception):
    """A promise that an image does not keep, in one sentence."""


def main() -> int:
    """Build, weigh, run, ask, stop."""
    for program in ("buildah", "debootstrap", "unshare", "chroot"):
        if shutil.which(program) is None:
            print(f"check: {program} is not on PATH", file=sys.stderr)
            return 1
    if os.geteuid() != 0:
        print("check: mounting and chroot need root", file=sys.stderr)
        return 1
    buildah = Buildah(folder=REPOSITORY / "build" / "images")
    started = time.monotonic()
    try:
        buildah.make_base()
        settings = {"BUILDER": buildah.builder(), "BASE_IMAGE": STAND_IN, "REGISTRY": "localhost", "TAG": "check"}
        subprocess.run([str(REPOSITORY / "manifests" / "images" / "build.sh")], check=True, env=os.environ | settings)
        print(f"check: built in {time.monotonic() - started:.0f} s")
        for service in LIMITS_MB:
            weigh(buildah, service)
        run(buildah)
    except FailedError as failure:
        print(f"check: FAILED: {failure}", file=sys.stderr)
        return 1
    print(f"check: all well, {time.monotonic() - started:.0f} s")
    return 0


def weigh(buildah: Buildah, service: str) -> None:
    """Print the layers; raise FailedError when they are too large."""
    layers = buildah.layers(image(service))
    print(f"\n{image(service)}: layers, MB uncompressed")
    for made_by, size in layers:
        print(f"  {size / MEGABYTE:7.1f}  {' '.join(made_by.split())[:100]}")
    own = sum(size for _, size in layers[1:]) / MEGABYTE
    print(
        f"  {own:7.1f}  above the base; {own + OFFICIAL_BASE_MB:.0f} with the official base of about {OFFICIAL_BASE_MB}"
    )
    if own + OFFICIAL_BASE_MB > LIMITS_MB[service]:
        raise FailedError(f"{service}: over {LIMITS_MB[service]} MB")


def image(service: str) -> str:
    """Name that the build gave it."""
    return f"localhost/sentiment-{service}:check"


def manifest_container(service: str) -> dict[str, Any]:
    """The service's container in install.yaml."""
    documents = yaml.safe_load_all((REPOSITORY / "manifests" / "install.yaml").read_text())
    (inference_service,) = [document for document in documents if document["kind"] == "InferenceService"]
    container: dict[str, Any] = inference_service["spec"][service]["containers"][0]
    return container


def start(buildah: Buildah, service: str) -> Container:
    """Run a service with the manifest's arguments and user, on a port of this check's own."""
    described = manifest_container(service)
    arguments = [argument for argument in described["args"] if not argument.startswith("--http_port")]
    arguments.append(f"--http_port={PORTS[service]}")
    if service == "transformer":
        arguments.append(f"--predictor_host=127.0.0.1:{PORTS['predictor']}")
    user = described["securityContext"]["runAsUser"]
    return Container(buildah=buildah, image=image(service), arguments=arguments, user=user, variables={})


def run(buildah: Buildah) -> None:
    """Start both, ask the transformer, look at how they run, stop them."""
    containers = {}
    try:
        for service in ("predictor", "transformer"):
            began = time.monotonic()
            containers[service] = start(buildah, service)
            wait_until_ready(service, containers[service])
            print(f"check: {service} ready after {time.monotonic() - began:.1f} s")
        for path, body in QUESTIONS:
            ask(path, body)
        for service, container in containers.items():
            look_inside(service, container)
            container.process.send_signal(signal.SIGTERM)
            status = container.process.wait(timeout=60)
            if status != 0:
                raise FailedError(f"{service}: exit status {status} after SIGTERM")
    finally:
        for container in containers.values():
            container.close()


def wait_until_ready(service: str, container: Container) -> None:
    """Poll readiness for a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if container.process.poll() is not None:
            raise FailedError(f"{service}: ended with {container.process.returncode} at its start")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[service]}/v2/health/ready", timeout=2):
                return
        except (OSError, urllib.error.URLError):
            time.sleep(0.1)
    raise FailedError(f"{service}: not ready within a minute")


def ask(path: str, body: dict[str, list[str]]) -> None:
    """Post one text that praises and one that damns; raise FailedError unless both are recognised."""
    request = urllib.request.Request(f"http://127.0.0.1:{PORTS['transformer']}{path}", json.dumps(body).encode())
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            predictions = json.load(answer)["predictions"]
    except urllib.error.HTTPError as error:
        raise FailedError(f"{path}: {error.code} {error.read().decode()}") from error
    best = [labels[0]["label"] for labels in predictions]
    print(f"check: POST {path}: {json.dumps(predictions)}")
    if best != ["POSITIVE", "NEGATIVE"]:
        raise FailedError(f"{path}: answered {best}")


def look_inside(service: str, container: Container) -> None:
    """Raise Failed unless the process is the manifest's user, without privileges, on a read-only root."""
    process = Path("/proc") / str(container.process.pid)
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    user = manifest_container(service)["securityContext"]["runAsUser"]
    if set(status["Uid"].split()) != {str(user)}:
        raise FailedError(f"{service}: runs as {status['Uid']}")
    if int(status["CapEff"], 16) != 0:
        raise FailedError(f"{service}: has capabilities {status['CapEff']}")
    mounts = [line.split() for line in (process / "mountinfo").read_text().splitlines()]
    # As the process sees them: its own root, the last one mounted there.
    options = [fields[5] for fields in mounts if fields[4] == "/"][-1]
    if "ro" not in options.split(","):
        raise FailedError(f"{service}: its root is writable")
    print(f"check: {service}: user {user}, no capabilities, root read-only, resident {status['VmRSS'].strip()}")


if __name__ == "__main__":
    raise SystemExit(main())
