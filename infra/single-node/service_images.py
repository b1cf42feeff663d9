"""Builds the images of the two services as `make images` does, and KServe's storage initializer, and imports them.

Nothing is pulled: the base is the stand-in that `make images-check` makes of Debian packages. The images have the names
that `manifests/settings/settings.env` gives, so the manifests find them as they are.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import images
from parts import go_modules, machine, storage_initializer
from parts.layout import REPOSITORY, Layout
from parts.versions import read_settings, read_versions

sys.path.append(str(REPOSITORY / "manifests" / "images"))
from sandbox import STAND_IN, Buildah

SERVICES = ("transformer", "predictor")
# The stand-in brings this machine's certificates and pip's settings into the build.
PROGRAMS = {"buildah": "buildah", "debootstrap": "debootstrap"}


def build(buildah: Buildah, *, registry: str, tag: str) -> None:
    """Run manifests/images/build.sh; buildah's layers make it short when nothing has changed."""
    buildah.make_base()
    settings = {"BUILDER": buildah.builder(), "BASE_IMAGE": STAND_IN, "REGISTRY": registry, "TAG": tag}
    script = REPOSITORY / "manifests" / "images" / "build.sh"
    subprocess.run([str(script)], check=True, env=os.environ | settings, stdout=subprocess.DEVNULL)


def export(buildah: Buildah, name: str, folder: Path) -> Path:
    """Write an image as an archive; its file name carries the image's identity, so one that is there is that image."""
    identity = buildah("inspect", "--type", "image", "--format", "{{.FromImageID}}", name)
    service = name.rsplit("/", 1)[1].split(":", 1)[0]
    archive = folder / f"{service}-{identity[:12]}.tar"
    if not archive.exists():
        for old in folder.glob(f"{service}-*.tar"):
            old.unlink()
        folder.mkdir(parents=True, exist_ok=True)
        # buildah's own store, nobody's registry; a broken archive never has the final name.
        fresh = archive.with_suffix(".new")
        buildah("push", "--quiet", name, f"docker-archive:{fresh}:{name}")
        fresh.replace(archive)
    return archive


def main() -> int:
    """Build, export, import."""
    began_s = time.monotonic()
    layout = Layout()
    settings = read_settings(REPOSITORY / "manifests" / "settings" / "settings.env")
    buildah = Buildah(folder=REPOSITORY / "build" / "images")
    try:
        machine.check_root()
        machine.install_missing(PROGRAMS, plugins=())
        print("cluster: building the images of the services and of the storage initializer", flush=True)
        build(buildah, registry=settings["registry"], tag=settings["tag"])
        initializer = storage_initializer.build(
            buildah.builder(),
            base=STAND_IN,
            context=layout.output / "storage-initializer",
            versions=read_versions(),
        )
        services = [f"{settings['registry']}/sentiment-{service}:{settings['tag']}" for service in SERVICES]
        for name in (*services, initializer):
            images.import_images([export(buildah, name, layout.output / "images")], layout=layout)
    except subprocess.CalledProcessError as error:
        print(f"cluster: {error.cmd[0]} failed; its words are above", file=sys.stderr)
        return 1
    except (machine.MachineError, images.ImageError, go_modules.ModuleError) as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    print(f"cluster: the images are on the node after {time.monotonic() - began_s:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
