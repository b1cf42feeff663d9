"""A model where KServe's storage-initializer leaves it: a folder that may be read and not written."""

import json
import shutil
import urllib.request
from pathlib import Path

from support.processes import TINY_MODEL, server

from local.ports import free_port


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.iterdir()}


def test_predictor_serves_a_mounted_model_and_writes_nothing_there(tmp_path: Path) -> None:
    mounted = tmp_path / "models"
    shutil.copytree(TINY_MODEL, mounted)
    for path in mounted.iterdir():
        path.chmod(0o444)
    mounted.chmod(0o555)
    before = contents(mounted)
    port = free_port()
    command = ["-m", "predictor", "--model_name=reviews", f"--http_port={port}", "--enable_grpc=false"]
    settings = {"PREDICTOR_MODEL_DIR": str(mounted), "PREDICTOR_THREADS": "1"}
    with server(command, port=port, log=tmp_path / "log", ready="/v2/models/reviews/ready", env=settings) as running:
        request = urllib.request.Request(
            running.url + "/v1/models/reviews:predict",
            json.dumps({"instances": ["I love you."]}).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            (labels,) = json.load(answer)["predictions"]
    assert labels[0]["label"] == "POSITIVE"
    assert contents(mounted) == before
    mounted.chmod(0o755)
