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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from parts.layout import Layout

EPOCH = "1970-01-01T00:00:00Z"


@dataclass(frozen=True)
class Folder:
    """A folder of an image that needs a mode of its own."""

    mode: int


@dataclass(frozen=True)
class Link:
    """A symbolic link of an image."""

    target: str


# What a path in an image is made from: a file of this machine, bytes, or one of the two above.
Source = Path | bytes | Folder | Link


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
    working_dir: str = "/",
) -> Path:
    """Write an image of one layer as an OCI archive.

    Args:
        path: the archive.
        name: registry, repository and tag, as pods name it.
        files: path in the image to what is there; executable where this machine's file is, 0644 for bytes.
        entrypoint: the command.
        user: ``uid:gid`` or a number; the layer's files are root's.
        env: environment variables.
        command: the entrypoint's default arguments.
        working_dir: where the process starts.
    """
    layer = path.with_suffix(".layer")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with layer.open("wb") as stream:
            _write_layer(stream, files)
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
    command = [
        str(layout.binaries / "ctr"),
        "--address",
        str(layout.containerd_socket),
        "--namespace",
        "k8s.io",
        *words,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ImageError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _write_layer(stream: io.BufferedWriter, files: Mapping[str, Source]) -> None:
    contents = {_inside(inside): source for inside, source in files.items()}
    for inside in list(contents):
        for parent in PurePosixPath(inside).parents:
            if str(parent) != ".":
                contents.setdefault(str(parent), Folder(0o755))
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as layer:
        # Sorted, so that a folder comes before what is in it.
        for inside, source in sorted(contents.items()):
            if isinstance(source, Folder):
                layer.addfile(_entry(inside, tarfile.DIRTYPE, source.mode))
            elif isinstance(source, Link):
                entry = _entry(inside, tarfile.SYMTYPE, 0o777)
                entry.linkname = source.target
                layer.addfile(entry)
            elif isinstance(source, bytes):
                _add_bytes(layer, inside, source)
            else:
                _add_file(layer, inside, source)


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
        _add_file(archive, f"blobs/sha256/{_digest(layer)}", layer)
    fresh.replace(path)


def _add_file(archive: tarfile.TarFile, inside: str, source: Path) -> None:
    with source.open("rb") as content:
        found = os.fstat(content.fileno())
        entry = _entry(inside, tarfile.REGTYPE, 0o755 if found.st_mode & 0o100 else 0o644)
        entry.size = found.st_size
        archive.addfile(entry, content)


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
