"""Writes OCI images out of files, without an engine or a registry, and imports them into the node's containerd.

    write_image(Path("pause.tar"), "dev.local/pause:v1", files={"pause": Path(".../pause")}, entrypoint=["/pause"])
    import_images([Path("pause.tar")])

or ``images.py import TAR ...``, ``images.py list``. The same files give the same bytes, and so the same digest.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from build import BINARIES
from parts.layout import Layout

# What a file in an image is made from: a file of this machine, or bytes.
Source = Path | bytes
EPOCH = "1970-01-01T00:00:00Z"


class ImageError(Exception):
    """An image cannot be imported."""


def write_image(
    path: Path,
    name: str,
    *,
    files: Mapping[str, Source],
    entrypoint: Sequence[str],
    user: str = "65532:65532",
    env: Mapping[str, str] | None = None,
    command: Sequence[str] = (),
    folders: Mapping[str, int] | None = None,
    links: Mapping[str, str] | None = None,
    working_dir: str = "/",
) -> Path:
    """Write an image of one layer as an OCI archive.

    Args:
        path: the archive.
        name: registry, repository and tag, as pods name it.
        files: path in the image to what it holds; executable where the source is, 0644 for bytes.
        entrypoint: the command.
        user: ``uid:gid`` or a number; the layer's files are root's.
        env: environment variables.
        command: the entrypoint's default arguments.
        folders: path in the image to mode, for folders that need one of their own (``{"tmp": 0o1777}``).
        links: path in the image to what a symbolic link there names.
        working_dir: where the process starts.
    """
    layer = path.with_suffix(".layer")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with layer.open("wb") as stream:
            _write_layer(stream, files=files, folders=folders or {}, links=links or {})
        config = {
            "architecture": _architecture(),
            "os": "linux",
            "created": EPOCH,
            "config": {
                "User": user,
                "Env": [f"{key}={value}" for key, value in sorted({"PATH": "/usr/bin:/bin", **(env or {})}.items())],
                "Entrypoint": list(entrypoint),
                "Cmd": list(command),
                "WorkingDir": working_dir,
            },
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{_digest(layer)}"]},
        }
        _write_archive(path, name, layer, _as_json(config))
    finally:
        layer.unlink(missing_ok=True)
    return path


def import_images(archives: Iterable[Path], *, layout: Layout | None = None) -> None:
    """Hand archives (OCI's or Docker's) to the node's containerd; raises ImageError with containerd's words."""
    for archive in archives:
        _ctr(layout or Layout(), "images", "import", "--no-unpack=false", str(archive))


def list_images(*, layout: Layout | None = None) -> list[str]:
    """Give the names of the images that the node has."""
    return _ctr(layout or Layout(), "images", "list", "--quiet").split()


def _ctr(layout: Layout, *words: str) -> str:
    command = [str(BINARIES / "ctr"), "--address", str(layout.containerd_socket), "--namespace", "k8s.io", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _write_layer(
    stream: io.BufferedWriter, *, files: Mapping[str, Source], folders: Mapping[str, int], links: Mapping[str, str]
) -> None:
    modes = {parent: 0o755 for inside in (*files, *links, *folders) for parent in _parents(inside)}
    modes.update({_inside(folder): mode for folder, mode in folders.items()})
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as layer:
        for folder, mode in sorted(modes.items()):
            layer.addfile(_entry(folder, tarfile.DIRTYPE, mode))
        for inside, target in sorted(links.items()):
            entry = _entry(_inside(inside), tarfile.SYMTYPE, 0o777)
            entry.linkname = target
            layer.addfile(entry)
        for inside, source in sorted(files.items()):
            if isinstance(source, bytes):
                entry = _entry(_inside(inside), tarfile.REGTYPE, 0o644)
                entry.size = len(source)
                layer.addfile(entry, io.BytesIO(source))
            else:
                with source.open("rb") as content:
                    found = os.fstat(content.fileno())
                    entry = _entry(_inside(inside), tarfile.REGTYPE, 0o755 if found.st_mode & 0o100 else 0o644)
                    entry.size = found.st_size
                    layer.addfile(entry, content)


def _write_archive(path: Path, name: str, layer: Path, config: bytes) -> None:
    manifest = _as_json(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": f"sha256:{_digest(layer)}",
                    "size": layer.stat().st_size,
                }
            ],
        }
    )
    image = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
    image["annotations"] = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rsplit(":", 1)[1],
    }
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [image]}
    fresh = path.with_suffix(".new")
    with tarfile.open(fresh, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for content in (config, manifest):
            _add_bytes(archive, f"blobs/sha256/{hashlib.sha256(content).hexdigest()}", content)
        _add_bytes(archive, "index.json", _as_json(index))
        _add_bytes(archive, "oci-layout", _as_json({"imageLayoutVersion": "1.0.0"}))
        entry = _entry(f"blobs/sha256/{_digest(layer)}", tarfile.REGTYPE, 0o644)
        entry.size = layer.stat().st_size
        with layer.open("rb") as content:
            archive.addfile(entry, content)
    fresh.replace(path)


def _add_bytes(archive: tarfile.TarFile, inside: str, content: bytes) -> None:
    entry = _entry(inside, tarfile.REGTYPE, 0o644)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _entry(inside: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(inside)
    entry.type, entry.mode = kind, mode
    return entry


def _inside(path: str) -> str:
    return str(PurePosixPath("/", path).relative_to("/"))


def _parents(path: str) -> list[str]:
    return [str(parent) for parent in PurePosixPath(_inside(path)).parents if str(parent) != "."]


def _descriptor(media_type: str, content: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(content).hexdigest()}", "size": len(content)}


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _as_json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _architecture() -> str:
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)


def main() -> int:
    """Import archives, or list what the node has."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list")
    commands.add_parser("import").add_argument("archive", nargs="+", type=Path)
    told = parser.parse_args()
    try:
        if told.command == "list":
            print("\n".join(list_images()))
        else:
            import_images(told.archive)
    except ImageError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
