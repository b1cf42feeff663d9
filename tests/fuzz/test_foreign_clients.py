"""Clients that others wrote get right answers from both services: tritonclient, KServe's own, curl, k6."""
# ruff: noqa: FBT001  # parameters are pytest's

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc
import tritonclient.http
from support.predictor_double import PredictorDouble, prediction, scores
from support.processes import TINY_MODEL, Server, server
from support.programs import require
from support.transformer_process import Client, transformer

from local.ports import free_port

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]
MODULE = {"scope": "module", "loop_scope": "module"}
TEXTS = ("a fine film", "naïve — 映画 🎬", "dull")


class Service:
    """A running service: its ports, and what it should say."""

    def __init__(self, *, process: Server, grpc_port: int, labels: list[str], rows: list[list[float]]) -> None:
        self.process = process
        self.http = f"127.0.0.1:{process.port}"
        self.grpc = f"127.0.0.1:{grpc_port}"
        self.labels = labels
        self.rows = rows


@pytest_asyncio.fixture(**MODULE)
async def behind_cache(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    double = PredictorDouble(versions=("abc123",))
    await double.start()
    grpc_port = free_port()
    folder = tmp_path_factory.mktemp("foreign")
    async with transformer(folder, predictor_host=double.host, grpc_port=grpc_port) as process:
        yield Service(
            process=process, grpc_port=grpc_port,
            labels=[str(prediction(text, "abc123")[0]["label"]) for text in TEXTS],
            rows=[list(scores(text, "abc123")) for text in TEXTS],
        )  # fmt: skip
    await double.stop()


@pytest_asyncio.fixture(**MODULE)
async def bare_model(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    port, grpc_port = free_port(), free_port()
    running = server(
        ["-m", "predictor", "--model_name=sentiment", f"--http_port={port}", f"--grpc_port={grpc_port}"],
        port=port, log=tmp_path_factory.mktemp("foreign") / "predictor.log", ready="/v2/health/ready",
        env={"PREDICTOR_MODEL_DIR": str(TINY_MODEL)},
    )  # fmt: skip
    process = await asyncio.to_thread(running.__enter__)
    client = Client(process.url)
    said = await client.post("/v1/models/sentiment:predict", json.dumps({"instances": TEXTS}).encode())
    await client.session.close()
    best = [row[0]["label"] for row in said.json()["predictions"]]
    rows = [
        [next(pair["score"] for pair in row if pair["label"] == label) for label in ("NEGATIVE", "POSITIVE")]
        for row in said.json()["predictions"]
    ]
    yield Service(process=process, grpc_port=grpc_port, labels=best, rows=rows)
    await asyncio.to_thread(running.__exit__, None, None, None)


@pytest.fixture(params=["behind_cache", "bare_model"])
def service(request: pytest.FixtureRequest, behind_cache: Service, bare_model: Service) -> Service:
    return {"behind_cache": behind_cache, "bare_model": bare_model}[request.param]


def assert_right(service: Service, labels: Any, rows: Any) -> None:
    assert [label.decode() if isinstance(label, bytes) else label for label in labels] == service.labels
    assert np.allclose(np.asarray(rows, dtype=np.float32).reshape(len(TEXTS), 2), service.rows, atol=1e-3)


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
async def test_triton_http_client(service: Service, binary: bool) -> None:
    def ask() -> None:
        with tritonclient.http.InferenceServerClient(service.http) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("sentiment")
            assert client.get_model_metadata("sentiment")["inputs"][0]["name"] == "text"
            tensor = tritonclient.http.InferInput("text", [len(TEXTS)], "BYTES")
            tensor.set_data_from_numpy(np.array([text.encode() for text in TEXTS], dtype=object), binary_data=binary)
            wanted = [tritonclient.http.InferRequestedOutput(n, binary_data=binary) for n in ("label", "scores")]
            for outputs in (None, wanted):
                answer = client.infer("sentiment", [tensor], outputs=outputs, request_id="7")
                assert answer.get_response()["id"] == "7"
                assert_right(service, answer.as_numpy("label"), answer.as_numpy("scores"))

    await asyncio.to_thread(ask)


async def test_triton_grpc_client(service: Service) -> None:
    def ask() -> None:
        with tritonclient.grpc.InferenceServerClient(service.grpc) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("sentiment")
            assert client.get_model_metadata("sentiment").inputs[0].name == "text"
            tensor = tritonclient.grpc.InferInput("text", [len(TEXTS)], "BYTES")
            tensor.set_data_from_numpy(np.array([text.encode() for text in TEXTS], dtype=object))
            answer = client.infer("sentiment", [tensor], request_id="7")
            assert answer.get_response().id == "7"
            assert_right(service, answer.as_numpy("label"), answer.as_numpy("scores"))

    await asyncio.to_thread(ask)


# KServe's package reads the command line when it loads and warns about its own dependencies: it gets a process.
KSERVE = """
import asyncio, sys
http, grpc, texts = sys.argv[1], sys.argv[2], sys.argv[3:]
sys.argv = sys.argv[:1]
import json
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

async def main():
    rest = InferenceRESTClient(RESTConfig(protocol="v2"))
    tensor = InferInput(name="text", shape=[len(texts)], datatype="BYTES", data=texts)
    request = InferRequest(model_name="sentiment", infer_inputs=[tensor], request_id="7")
    said = []
    assert await rest.is_server_ready(http)
    assert await rest.is_model_ready(http, "sentiment")
    said.append(await rest.infer(http, request, model_name="sentiment"))
    v1 = InferenceRESTClient(RESTConfig(protocol="v1"))
    plain = await v1.infer(http, {"instances": texts}, model_name="sentiment")
    client = InferenceGRPCClient(grpc)
    assert await client.is_server_ready()
    assert await client.is_model_ready("sentiment")
    raw = [text.encode() for text in texts]
    tensor = InferInput(name="text", shape=[len(texts)], datatype="BYTES", data=raw)
    said.append(await client.infer(InferRequest(model_name="sentiment", infer_inputs=[tensor], request_id="7")))
    await client.close()
    await rest.close()
    await v1.close()
    for answer in said:
        outputs = {output.name: output for output in answer.outputs}
        labels = [x.decode() if isinstance(x, bytes) else str(x) for x in outputs["label"].as_numpy().tolist()]
        print(json.dumps([labels, outputs["scores"].as_numpy().tolist()]))
    print(json.dumps([[row[0]["label"] for row in plain["predictions"]], None]))

asyncio.run(main())
"""


async def test_kserve_clients(service: Service) -> None:
    run = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", "-c", KSERVE, f"http://{service.http}", service.grpc, *TEXTS,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await run.communicate()
    assert run.returncode == 0, err.decode()[-3_000:]
    (rest_labels, rest_rows), (grpc_labels, grpc_rows), (v1_labels, _) = map(json.loads, out.decode().splitlines())
    assert_right(service, rest_labels, rest_rows)
    assert_right(service, grpc_labels, grpc_rows)
    assert v1_labels == service.labels


async def test_curl(behind_cache: Service, tmp_path: Path) -> None:
    curl = require("curl")
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"text": TEXTS * 40}))  # long enough for curl to ask with Expect: 100-continue
    for options in (["-d", f"@{body}"], ["-d", f"@{body}", "-H", "Expect: 100-continue"], ["-T", "-", "-X", "POST"]):
        run = await asyncio.create_subprocess_exec(
            curl, "-sS", "--fail", "--max-time", "20", *options, f"http://{behind_cache.http}/predict",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, _ = await run.communicate(body.read_bytes())
        assert run.returncode == 0, options
        assert [each[0]["label"] for each in json.loads(out)["predictions"]] == behind_cache.labels * 40


async def test_k6(behind_cache: Service, tmp_path: Path) -> None:
    script = tmp_path / "script.js"
    script.write_text(
        "import http from 'k6/http';\nimport { check } from 'k6';\n"
        "export const options = { vus: 2, iterations: 20, thresholds: { checks: ['rate==1'] } };\n"
        f"export default () => {{ const r = http.post('http://{behind_cache.http}/predict', "
        f"JSON.stringify({{ text: {json.dumps(TEXTS)} }}));\n"
        f"check(r, {{ right: (r) => r.status === 200 && JSON.stringify(r.json('predictions').map((p) => p[0].label)) "
        f"=== '{json.dumps(behind_cache.labels, separators=(',', ':'))}' }}); }};\n"
    )
    k6 = require("k6", Path(sys.executable).with_name("k6"))
    run = await asyncio.create_subprocess_exec(
        k6, "run", "--quiet", str(script), cwd=tmp_path, env={**os.environ, "K6_NO_USAGE_REPORT": "true"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await run.communicate()
    assert run.returncode == 0, out.decode()[-3_000:]
