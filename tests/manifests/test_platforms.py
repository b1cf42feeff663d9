"""What is said of the packages that each platform gets; `make images-platforms` asks the index itself."""

import re
import stat
from pathlib import Path

import pytest

from manifests.images.platforms import COMPILED, EXTRAS, ROOT, ResolutionError, judge, resolve

PINNED = ["a==1", "b==2", "c==3"]


def test_pinned_versions_that_are_the_same_everywhere_pass() -> None:
    judge({"amd64": ["a==1", "b==2"], "arm64": ["b==2", "a==1"]}, PINNED)


@pytest.mark.parametrize(
    ("arm64", "words"),
    [
        (["a==1", "b==2", "d==4"], "arm64 gets what constraints.txt does not pin: d==4"),
        (["a==1", "b==3"], "arm64 gets what constraints.txt does not pin: b==3"),
        (["a==1", "b==2", "c==3"], "amd64 and arm64 differ in c==3"),
    ],
)
def test_what_one_platform_alone_gets_is_named(arm64: list[str], words: str) -> None:
    with pytest.raises(ResolutionError, match=re.escape(words)):
        judge({"amd64": ["a==1", "b==2"], "arm64": arm64}, PINNED)


def test_a_platform_without_a_wheel_is_said_in_the_resolvers_words(tmp_path: Path) -> None:
    uv = tmp_path / "uv"
    uv.write_text('#!/bin/sh\necho "$*" >&2\nexit 1\n')
    uv.chmod(uv.stat().st_mode | stat.S_IXUSR)
    with pytest.raises(
        ResolutionError, match=r"--only-binary=:all: --no-binary=psutil .*--python-platform=aarch64-x -$"
    ):
        resolve(str(uv), ["predictor"], "aarch64-x")


@pytest.mark.parametrize("image", EXTRAS)
def test_extras_are_those_of_the_image_and_its_build_stage_has_a_compiler(image: str) -> None:
    text = (ROOT / f"Dockerfile.{image}").read_text()
    assert f"requirements.py pyproject.toml {' '.join(EXTRAS[image])} >" in text
    assert COMPILED == ("psutil",)
    assert " gcc " in text
