"""MANIFEST.json: where a checkpoint came from, and the size and SHA-256 of each of its files."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from checkpoint.errors import CorruptedError

MANIFEST_NAME = "MANIFEST.json"
_CHUNK_BYTES = 1 << 20


def digest(path: Path) -> dict[str, Any]:
    """Sum up one file.

    Returns:
        {"sha256": 64 hexadecimal digits, "bytes": size}.
    """
    sha256 = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            sha256.update(chunk)
    return {"sha256": sha256.hexdigest(), "bytes": path.stat().st_size}


def write(path: Path, directory: Path, names: list[str], /, **origin: Any) -> dict[str, Any]:
    """Write the manifest of the files named, replacing an older one in one step.

    Args:
        path: the manifest to write.
        directory: where the files are.
        names: the files to list.
        origin: what is written before the files: source, revision, commit and the like.

    Returns:
        What was written.
    """
    manifest = {**origin, "files": {name: digest(directory / name) for name in sorted(names)}}
    draft = path.with_name(path.name + ".draft")
    draft.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    draft.replace(path)
    return manifest


def read(path: Path) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        CorruptedError: it is missing, or no manifest.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise CorruptedError(f"{path} cannot be read as a manifest.") from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise CorruptedError(f"{path} lists no files.")
    return manifest


def of_directory(directory: Path) -> dict[str, Any]:
    """Read the manifest in a directory, or the one beside it that names it.

    Raises:
        CorruptedError: there is none.
    """
    inside = directory / MANIFEST_NAME
    beside = directory.with_name(MANIFEST_NAME)
    if not inside.exists() and beside.exists() and (found := read(beside)).get("directory") == directory.name:
        return found
    return read(inside)


def differences(manifest: dict[str, Any], directory: Path) -> list[str]:
    """Compare a directory with its manifest.

    Returns:
        One sentence per file that is missing or changed; empty when the directory is as the manifest says.
    """
    found = []
    for name, expected in manifest["files"].items():
        path = directory / name
        if os.sep in name or not path.is_file():
            found.append(f"{name} is missing.")
        elif digest(path) != expected:
            found.append(f"{name} differs from the manifest.")
    return found
