"""Images are written without an engine, byte for byte the same, and hold what they were told to."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import images
import pytest
from images import Folder, Link, write_image
from parts.layout import Layout


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    path.write_bytes(b"#!/bin/true\n")
    path.chmod(0o700)
    return path


def write(path: Path, program: Path) -> Path:
    return write_image(
        path, "dev.local/some/thing:1.2",
        files={"/app/program": program, "etc/settings": b"a=1\n", "tmp": Folder(0o1777), "bin": Link("/app")},
        entrypoint=["/app/program"], command=["--serve"], env={"B": "2", "A": "1"}, user="1000:1000",
        working_dir="/app",
    )  # fmt: skip


def blobs(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened if member.isfile()}  # type: ignore[union-attr]


def by_digest(found: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    content = found["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
    assert len(content) == descriptor["size"]
    assert descriptor["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    return content


def test_the_same_files_give_the_same_bytes(tmp_path: Path, program: Path) -> None:
    first, second = write(tmp_path / "a.tar", program), write(tmp_path / "b.tar", program)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "b.tar", "program"]
    program.write_bytes(b"other")
    assert write(tmp_path / "c.tar", program).read_bytes() != first.read_bytes()


def test_every_part_is_found_by_its_digest_and_says_what_it_was_told(tmp_path: Path, program: Path) -> None:
    found = blobs(write(tmp_path / "a.tar", program))
    (image,) = json.loads(found["index.json"])["manifests"]
    assert image["annotations"]["io.containerd.image.name"] == "dev.local/some/thing:1.2"
    manifest = json.loads(by_digest(found, image))
    config = json.loads(by_digest(found, manifest["config"]))
    assert config["config"] == {
        "User": "1000:1000",
        "Env": ["A=1", "B=2", "PATH=/usr/bin:/bin"],
        "Entrypoint": ["/app/program"],
        "Cmd": ["--serve"],
        "WorkingDir": "/app",
    }
    (layer,) = manifest["layers"]
    assert config["rootfs"]["diff_ids"] == [layer["digest"]]
    with tarfile.open(fileobj=io.BytesIO(by_digest(found, layer))) as opened:
        entries = [(each.name, each.mode, each.uid, each.mtime, each.linkname) for each in opened]
    assert entries == [
        ("app", 0o755, 0, 0, ""),
        ("app/program", 0o755, 0, 0, ""),
        ("bin", 0o777, 0, 0, "/app"),
        ("etc", 0o755, 0, 0, ""),
        ("etc/settings", 0o644, 0, 0, ""),
        ("tmp", 0o1777, 0, 0, ""),
    ]


def test_containerds_words_are_passed_on(layout: Layout, program: Path, tmp_path: Path) -> None:
    ctr = layout.binaries / "ctr"
    ctr.parent.mkdir(parents=True)
    ctr.write_text('#!/bin/sh\necho "$@" >&2\nexit 1\n')
    ctr.chmod(0o755)
    with pytest.raises(
        images.ImageError, match=rf"--address {layout.containerd_socket} --namespace k8s.io images import"
    ):
        images.import_images([write(tmp_path / "a.tar", program)], layout=layout)
