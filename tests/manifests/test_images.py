"""The Dockerfiles agree with the manifests, and the servers answer without what the images leave out."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from manifests.objects import COMPONENTS, Document, container
from support.processes import REPO, TINY_MODEL, Server, server

from local.ports import free_port
from manifests.images.prune import LEFTOVERS, ONLY, distributions, import_names, prune
from manifests.images.requirements import requirements

WITHOUT = Path(__file__).parent / "without.py"

both = pytest.mark.parametrize("name", COMPONENTS)


def instructions(name: str) -> list[tuple[str, str]]:
    """Instructions of a Dockerfile's last stage, with their continuation lines joined."""
    text = (REPO / f"Dockerfile.{name}").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    pairs = [tuple(line.split(None, 1)) for line in joined.splitlines() if line.strip()]
    last = max(index for index, pair in enumerate(pairs) if pair[0] == "FROM")
    return [(pair[0], pair[1]) for pair in pairs[last:]]


def the(name: str, instruction: str) -> str:
    (value,) = [value for keyword, value in instructions(name) if keyword == instruction]
    return value


@both
def test_entrypoint_is_in_exec_form_and_takes_the_manifests_arguments(overlay: list[Document], name: str) -> None:
    assert json.loads(the(name, "ENTRYPOINT")) == ["python", "-m", name]
    # What `docker run` starts is what the cluster starts.
    assert json.loads(the(name, "CMD")) == container(overlay, name)["args"]


@both
def test_user_is_numeric_and_the_manifests(overlay: list[Document], name: str) -> None:
    security = container(overlay, name)["securityContext"]
    assert the(name, "USER") == f"{security['runAsUser']}:{security['runAsGroup']}"


@both
def test_base_and_model_come_by_argument(name: str) -> None:
    text = (REPO / f"Dockerfile.{name}").read_text()
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE_IMAGE}"}
    if name == "predictor":
        assert "COPY --chmod=0555 ${MODEL_DIR} /opt/model" in text
        assert "PREDICTOR_MODEL_DIR=/opt/model" in the(name, "ENV")
        default = re.search(r"^ARG MODEL_DIR=(.+)$", text, re.MULTILINE)
        assert default
        assert REPO / default[1] == TINY_MODEL


@both
def test_images_env_names_the_dockerfiles_default_base(name: str) -> None:
    pinned = (REPO / "manifests" / "images" / "images.env").read_text().strip().removeprefix("BASE_IMAGE=")
    assert f"ARG BASE_IMAGE={pinned.partition('@')[0]}\n" in (REPO / f"Dockerfile.{name}").read_text()


@both
def test_last_stage_copies_the_environment_and_no_sources(name: str) -> None:
    copied = {value.split()[-1] for keyword, value in instructions(name) if keyword == "COPY"}
    assert copied == {"/opt/venv", "/opt/app"} | ({"/opt/model"} if name == "predictor" else set())


@both
def test_image_says_what_it_is(name: str) -> None:
    labels = the(name, "LABEL")
    for key in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{key}=" in labels


def test_installs_are_pinned() -> None:
    for name in COMPONENTS:
        assert "PIP_CONSTRAINT=/src/constraints.txt" in (REPO / f"Dockerfile.{name}").read_text()
    pinned = {line.partition("==")[0] for line in (REPO / "constraints.txt").read_text().splitlines() if "==" in line}
    for extras in (["transformer", "entra", "otel"], ["predictor", "otel"]):
        for line in requirements(REPO / "pyproject.toml", extras):
            match = re.match(r"[A-Za-z0-9._-]+", line)
            assert match
            assert match[0].lower().replace("_", "-") in pinned, line


def test_unknown_extra_is_refused() -> None:
    with pytest.raises(KeyError):
        requirements(REPO / "pyproject.toml", ["nonsense"])


def test_build_script_prefers_what_is_there_and_says_what_it_does(tmp_path: Path) -> None:
    builder = tmp_path / "builder"
    builder.write_text('#!/bin/sh\nprintf "%s\\n" "$*" >> "$0.log"\n')
    builder.chmod(0o755)
    environment = os.environ | {
        "BUILDER": f"{builder} build",
        "REGISTRY": "example.azurecr.io",
        "TAG": "1.2.3",
        "MODEL_DIR": "models/x",
    }
    command = [str(REPO / "manifests" / "images" / "build.sh")]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    first, second = (tmp_path / "builder.log").read_text().splitlines()
    assert "--tag example.azurecr.io/sentiment-transformer:1.2.3" in first
    assert "MODEL_DIR" not in first
    assert "--tag example.azurecr.io/sentiment-predictor:1.2.3" in second
    assert "--build-arg MODEL_DIR=models/x" in second
    assert "--build-arg BASE_IMAGE=docker.io/library/python:3.11-slim-bookworm" in second


def test_build_script_without_a_builder_fails_with_a_sentence(tmp_path: Path) -> None:
    for program in ("sh", "dirname", "sed", "git"):
        (tmp_path / program).symlink_to(f"/usr/bin/{program}")
    command = ["/bin/sh", str(REPO / "manifests" / "images" / "build.sh")]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "needs a docker daemon or buildah" in done.stderr


def test_base_is_pinned_to_what_the_registry_says(tmp_path: Path) -> None:
    script = shutil.copy(REPO / "manifests" / "images" / "pin-base.sh", tmp_path)
    (tmp_path / "images.env").write_text("BASE_IMAGE=registry.example.com/python:3.11\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    registry = programs / "skopeo"
    registry.write_text('#!/bin/sh\n[ "$4" = docker://registry.example.com/python:3.11 ] && cat "$DIGEST"\n')
    registry.chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "DIGEST": str(tmp_path / "digest")}
    for digest in ("sha256:" + "ab" * 32, "sha256:" + "cd" * 32):  # the second time there is a digest to replace
        (tmp_path / "digest").write_text(digest)
        subprocess.run([script], env=environment, check=True, capture_output=True)
        assert (tmp_path / "images.env").read_text() == f"BASE_IMAGE=registry.example.com/python:3.11@{digest}\n"
    (tmp_path / "digest").write_text("no such image")
    assert subprocess.run([script], env=environment, check=False, capture_output=True).returncode == 1
    assert (tmp_path / "images.env").read_text() == f"BASE_IMAGE=registry.example.com/python:3.11@{digest}\n"


def refused(name: str) -> str:
    """Modules that the image of a server does not hold, as `without.py` takes them."""
    folders = {
        pattern.replace("/", ".") for pattern in LEFTOVERS if not set(pattern) & set("*[") and "libs" not in pattern
    }
    return ",".join(sorted(import_names(distributions(name)) | folders))


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    command = [
        str(WITHOUT),
        refused("predictor"),
        "predictor",
        "--model_name=sentiment",
        f"--http_port={port}",
        f"--grpc_port={free_port()}",
    ]
    log = tmp_path_factory.mktemp("images") / "predictor.log"
    with server(
        command, port=port, log=log, ready="/v2/health/ready", env={"PREDICTOR_MODEL_DIR": str(TINY_MODEL)}
    ) as it:
        yield it


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory, predictor: Server) -> Iterator[Server]:
    port = free_port()
    command = [
        str(WITHOUT),
        refused("transformer"),
        "transformer",
        "--model_name=sentiment",
        f"--http_port={port}",
        "--workers=1",
    ]
    command += ["--enable_grpc=false", f"--predictor_host=127.0.0.1:{predictor.port}"]
    log = tmp_path_factory.mktemp("images") / "transformer.log"
    with server(command, port=port, log=log, ready="/v2/health/ready", timeout_s=100) as it:
        yield it


def call(running: Server, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(running.url + path, data, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer) if path != "/metrics" else answer.read()
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{path}: {error.code} {error.read().decode()}\n{running.output()}") from error


TEXTS = ["a gripping, moving and beautiful film", "a dull and lifeless mess"]
TENSOR = {"id": "1", "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": TEXTS}]}


def test_predictor_answers_without_what_its_image_leaves_out(predictor: Server) -> None:
    v1 = call(predictor, "/v1/models/sentiment:predict", {"instances": TEXTS})
    assert [labels[0]["label"] for labels in v1["predictions"]] == ["POSITIVE", "NEGATIVE"]
    v2 = call(predictor, "/v2/models/sentiment/infer", TENSOR)
    assert v2["outputs"][0]["data"] == ["POSITIVE", "NEGATIVE"]
    assert call(predictor, "/v2/models/sentiment")["name"] == "sentiment"
    assert call(predictor, "/metrics")


@pytest.mark.parametrize(
    ("path", "body"), [("/predict", {"text": TEXTS}), ("/v1/models/sentiment:predict", {"instances": TEXTS})]
)
def test_transformer_answers_without_what_its_image_leaves_out(transformer: Server, path: str, body: object) -> None:
    answer = call(transformer, path, body)
    assert [labels[0]["label"] for labels in answer["predictions"]] == ["POSITIVE", "NEGATIVE"]


def test_transformer_speaks_the_open_protocol_without_what_its_image_leaves_out(transformer: Server) -> None:
    assert call(transformer, "/v2/models/sentiment/infer", TENSOR)["outputs"][0]["data"] == ["POSITIVE", "NEGATIVE"]
    assert call(transformer, "/openapi.json")["paths"]
    assert call(transformer, "/metrics")


def test_refusal_is_real(tmp_path: Path) -> None:
    command = [sys.executable, str(WITHOUT), "pydantic", "transformer", "--model_name=sentiment"]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "refused: pydantic" in done.stderr


@both
def test_pruning_names_only_what_the_sdk_brings(name: str) -> None:
    direct = {re.split(r"[<>=\[ ]", line)[0].lower() for line in requirements(REPO / "pyproject.toml", [name])}
    assert not direct & {left.lower() for left in distributions(name)}
    assert all(reason for reason in distributions(name).values())


def test_pruning_takes_the_named_and_leaves_the_rest(tmp_path: Path) -> None:
    for package in ("pandas", "kept"):
        (tmp_path / package / "tests").mkdir(parents=True)
        (tmp_path / package / "__init__.py").write_text("")
        (tmp_path / package / "tests" / "test_it.py").write_text("")
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{package}/__init__.py,,\n{info.name}/METADATA,,\n{info.name}/RECORD,,\n")
    prune(tmp_path, "transformer")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "kept",
        "kept-1.0.dist-info",
        "kept-1.0.dist-info/METADATA",
        "kept-1.0.dist-info/RECORD",
        "kept/__init__.py",
    ]
    assert set(ONLY) == set(COMPONENTS)
