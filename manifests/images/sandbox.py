"""Builds images without a daemon and runs them as Kubernetes would: numeric user, read-only root, private /tmp."""

import json
import shutil
import subprocess
from pathlib import Path

STAND_IN = "docker.io/library/python:3.11-slim-bookworm"
_PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"

# Arguments: root, user:group, folder, command. The mounts are this process's own and end with it.
_ENTER = """
root=$1 owner=$2 folder=$3
shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mount -t tmpfs dev "$root/dev"
for device in null zero random urandom; do
  : > "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
exec chroot --userspec="$owner" "$root" env --chdir="$folder" "$@"
"""


class Buildah:
    """buildah with its own storage; needs root, no daemon, no user namespaces."""

    def __init__(self, *, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._command = ["buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run")]

    def __call__(self, *arguments: str) -> str:
        """Run a buildah command; its standard output."""
        done = subprocess.run([*self._command, *arguments], check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        """Whether the storage holds an image."""
        asked = [*self._command, "inspect", "--type", "image", image]
        return subprocess.run(asked, check=False, capture_output=True).returncode == 0

    def builder(self) -> str:
        """Build command for build.sh: in a chroot, from local images, with this machine's certificates."""
        command = [*self._command, "build", "--format", "docker", "--isolation", "chroot", "--pull-never", "--layers"]
        for path in ("/etc/ssl/certs", "/etc/pip.conf"):
            if Path(path).exists():
                command += ["--volume", f"{path}:{path}:ro"]
        return " ".join(command)

    def make_base(self) -> None:
        """Make a stand-in for the official Python image out of Debian packages; a minute and a half, once."""
        if self.has(STAND_IN):
            return
        rootfs = self.folder / "rootfs"
        shutil.rmtree(rootfs, ignore_errors=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", "bookworm", str(rootfs)], check=True
        )
        for name in ("python", "python3"):
            (rootfs / "usr" / "local" / "bin" / name).symlink_to("/usr/bin/python3")
        for mark in rootfs.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            mark.unlink()
        shutil.rmtree(rootfs / "var" / "cache" / "apt" / "archives")
        container = self("from", "scratch")
        self("add", "--quiet", container, str(rootfs), "/")
        self("config", "--env", "PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", container)
        self("commit", "--quiet", container, STAND_IN)
        self("rm", container)
        shutil.rmtree(rootfs)

    def layers(self, image: str) -> list[tuple[str, int]]:
        """The image's layers, base first: the instruction that made each, and its uncompressed size in bytes."""
        described = json.loads(self("inspect", "--type", "image", image))["Docker"]
        made = [entry["created_by"] for entry in described["history"] if not entry.get("empty_layer")]
        sizes = [self._layer_bytes(digest) for digest in described["rootfs"]["diff_ids"]]
        return list(zip(made, sizes, strict=True))

    def _layer_bytes(self, digest: str) -> int:
        (file,) = (self.folder / "store").glob("*-layers/layers.json")
        index = json.loads(file.read_text())
        (size,) = {layer["diff-size"] for layer in index if layer.get("diff-digest") == digest}
        return int(size)


class Container:
    """One image, running in a chroot of which it can write nothing but /tmp.

    Args:
        buildah: where the image lies.
        image: its name.
        arguments: what follows the entrypoint, as a pod's `args`.
        user: numeric user and group.
        variables: environment beside the image's own.
    """

    def __init__(
        self, *, buildah: Buildah, image: str, arguments: list[str], user: int, variables: dict[str, str]
    ) -> None:
        self._buildah = buildah
        config = json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"]
        environment = dict(entry.split("=", 1) for entry in config["Env"]) | variables
        self._container = buildah("from", "--pull-never", image)
        root = buildah("mount", self._container)
        command = [*config["Entrypoint"], *arguments]
        owner = f"{user}:{user}"
        self.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-euc", _ENTER, "sh", root, owner, config["WorkingDir"], *command],
            env=environment | {"PATH": f"{environment['PATH']}:/usr/sbin:/sbin"},
        )

    def close(self) -> None:
        """End the process, if it has not ended, and forget the container."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._buildah("umount", self._container)
        self._buildah("rm", self._container)
