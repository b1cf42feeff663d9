"""The predictor as a process: how it starts, refuses to start, sheds load, forgets absent clients and stops."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc
import pytest
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as pb_grpc
from support.processes import REPO, TINY_MODEL, Server, environment, server

from load.bench.predictor_load import Target, UniqueTexts, closed_loop, lone_client
from load.bench.random_checkpoint import SMALL, write_checkpoint
from local.ports import free_port

PREDICT = "/v1/models/sentiment:predict"
# 128 texts of 512 tokens keep even the small model busy for seconds, so long as no matrix unit multiplies them.
BUSY = {"threads": "1", "precision": "f32"}
LARGE = {"instances": [f"film {index} " + "film " * 600 for index in range(128)]}


@contextmanager
def predictor(tmp_path: Path, **env: str) -> Iterator[Server]:
    port = free_port()
    command = ["-m", "predictor", "--model_name=sentiment", f"--http_port={port}", "--enable_grpc=false"]
    # A slow machine must not turn a test of order into one of deadlines.
    chosen = {"deadline_s": "100", "drain_s": "0"} | env
    variables = {f"PREDICTOR_{name.upper()}": value for name, value in chosen.items()}
    with server(command, port=port, log=tmp_path / "log", ready="/v2/health/ready", env=variables) as running:
        yield running


def post(running: Server, body: Any, *, timeout_s: float = 30, **headers: str) -> tuple[int, dict[str, str], Any]:
    connection = HTTPConnection("127.0.0.1", running.port, timeout=timeout_s)
    try:
        connection.request("POST", PREDICT, body=json.dumps(body), headers=headers)
        response = connection.getresponse()
        return response.status, {n.lower(): v for n, v in response.getheaders()}, json.loads(response.read())
    finally:
        connection.close()


def get(running: Server, path: str) -> tuple[int, dict[str, str], str]:
    connection = HTTPConnection("127.0.0.1", running.port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, {n.lower(): v for n, v in response.getheaders()}, response.read().decode()
    finally:
        connection.close()


def metric(running: Server, line: str) -> float:
    page = get(running, "/metrics")[2]
    return next((float(found.split()[-1]) for found in page.splitlines() if found.startswith(line)), 0.0)


def wait_for(condition: Callable[[], bool], *, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def start_refused(tmp_path: Path, directory: Path | None, **env: str) -> tuple[int, dict[str, Any]]:
    """Start a predictor that must not come up; give its exit status and its last line."""
    variables = {f"PREDICTOR_{name.upper()}": value for name, value in env.items()}
    if directory is not None:
        variables["PREDICTOR_MODEL_DIR"] = str(directory)
    command = [sys.executable, "-m", "predictor", f"--http_port={free_port()}", "--enable_grpc=false"]
    done = subprocess.run(
        command, cwd=REPO, env=environment(**variables), capture_output=True, text=True, timeout=60, check=False
    )
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) == 1, lines
    said: dict[str, Any] = json.loads(lines[0])
    return done.returncode, said


SPOILED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing weights": (lambda d: (d / "model.safetensors").unlink(), "model.safetensors is missing"),
    "truncated weights": (
        lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:-1000]),
        "model.safetensors is truncated or no safetensors file",
    ),
    "corrupt weights": (
        lambda d: (d / "model.safetensors").write_bytes(b"\xff" * 4096),
        "model.safetensors is truncated or no safetensors file",
    ),
    "foreign config": (
        lambda d: (d / "config.json").write_text('{"architectures": ["GPT2ForSequenceClassification"]}'),
        "config.json describes GPT2ForSequenceClassification, which is not served",
    ),
    "corrupt tokenizer": (lambda d: (d / "tokenizer.json").write_text("{"), "tokenizer.json cannot be read as JSON"),
    "no directory": (shutil.rmtree, "is not a directory: set PREDICTOR_MODEL_DIR"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_checkpoint_that_cannot_be_served_stops_the_process_in_one_sentence(tmp_path: Path, case: str) -> None:
    spoil, says = SPOILED[case]
    directory = write_checkpoint(tmp_path / "model", size=SMALL)
    spoil(directory)
    status, said = start_refused(tmp_path, directory)
    assert status == 1
    assert (said["level"], said["message"]) == ("error", "cannot serve")
    assert says in said["reason"]
    assert str(directory) in said["reason"]


def test_wrong_settings_stop_the_process_and_are_named(tmp_path: Path) -> None:
    status, said = start_refused(tmp_path, None, threads="many")
    assert status == 2
    assert "PREDICTOR_THREADS" in said
    assert "Traceback" not in json.dumps(said)


def test_the_port_opens_only_when_the_model_answers(tmp_path: Path) -> None:
    port = free_port()
    command = ["-m", "predictor", "--model_name=sentiment", f"--http_port={port}", "--enable_grpc=false"]
    env = {"PREDICTOR_DRAIN_S": "0"}
    with server(command, port=port, log=tmp_path / "log", ready=None, env=env) as running:
        while True:
            assert running.process.poll() is None, running.output()
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
                continue
            break
        # The very first request after the first accepted connection.
        assert post(running, {"instances": ["a lovely film"]})[0] == 200


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_finishes_what_runs_and_exits_0(tmp_path: Path, sig: signal.Signals) -> None:
    with predictor(tmp_path, **BUSY) as running:
        with ThreadPoolExecutor(max_workers=1) as pool:
            answer = pool.submit(post, running, LARGE)
            wait_for(lambda: metric(running, "predictor_inference_seconds_count") > 0)
            assert running.stop(sig) == 0
            status, _, body = answer.result()
        assert status == 200
        assert len(body["predictions"]) == 128
        assert json.loads(running.output().splitlines()[-1])["message"] == "stopped"


def test_readiness_falls_before_the_port_closes(tmp_path: Path) -> None:
    port, grpc_port = free_port(), free_port()
    command = ["-m", "predictor", "--model_name=sentiment", f"--http_port={port}", f"--grpc_port={grpc_port}"]
    env = {"PREDICTOR_DRAIN_S": "3"}
    with (
        server(command, port=port, log=tmp_path / "log", ready="/v2/health/ready", env=env) as running,
        grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel,
    ):
        stub = pb_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerReady(pb.ServerReadyRequest()).ready
        running.process.send_signal(signal.SIGTERM)
        wait_for(lambda: get(running, "/v2/health/ready")[0] == 503)
        for path in ("/v2/models/sentiment/ready", "/v1/models/sentiment"):
            status, headers, said = get(running, path)
            assert (status, json.loads(said)["code"], headers["connection"]) == (503, "draining", "close")
        assert not stub.ServerReady(pb.ServerReadyRequest()).ready
        assert not stub.ModelReady(pb.ModelReadyRequest(name="sentiment")).ready
        assert get(running, "/v2/health/live")[0] == 200
        with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as kept_alive:
            kept_alive.request("POST", PREDICT, json.dumps({"instances": ["a lovely film"]}))
            answer = kept_alive.getresponse()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert running.process.wait(20) == 0


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    with predictor(tmp_path, drain_s="1000") as running:
        running.process.send_signal(signal.SIGTERM)
        wait_for(lambda: get(running, "/v2/health/ready")[0] == 503)
        assert running.stop() == 0


def test_a_single_text_does_not_wait_for_a_large_request(tmp_path: Path) -> None:
    with predictor(tmp_path, **BUSY, max_queue_tokens="200000") as running, ThreadPoolExecutor(8) as pool:
        large = [pool.submit(post, running, LARGE) for _ in range(2)]
        wait_for(lambda: metric(running, "predictor_inference_seconds_count") > 2)
        assert post(running, {"instances": ["a lovely film"]})[0] == 200
        assert not any(request.done() for request in large)
        assert [request.result()[0] for request in large] == [200, 200]


def test_a_full_queue_answers_503_with_retry_after_while_it_works_on(tmp_path: Path) -> None:
    with predictor(tmp_path, **BUSY, max_queue_tokens="2000") as running, ThreadPoolExecutor(4) as pool:
        large = pool.submit(post, running, LARGE)
        wait_for(lambda: metric(running, "predictor_queue_tokens") > 2000)
        status, headers, body = post(running, {"instances": ["one more"]})
        assert (status, body["code"]) == (503, "overloaded")
        assert 1 <= int(headers["retry-after"]) <= 30
        assert not large.done()
        assert large.result()[0] == 200
        assert post(running, {"instances": ["one more"]})[0] == 200


def test_work_for_a_client_that_has_gone_is_dropped(tmp_path: Path) -> None:
    with predictor(tmp_path, **BUSY) as running:
        body = json.dumps(LARGE).encode()
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", running.port)) as client:
            client.sendall(head + body)
            wait_for(lambda: metric(running, "predictor_queue_tokens") > 10_000)
        wait_for(lambda: metric(running, 'predictor_shed_total{reason="client_gone"}') == 1)
        assert metric(running, "predictor_queue_tokens") == 0
        assert metric(running, "predictor_batch_tokens_sum") < 60_000
        assert metric(running, 'predictor_requests_total{route="/v1/models/{model_name}:predict",status="499"}') == 1


def test_a_deadline_is_answered_with_504_and_the_rest_dropped(tmp_path: Path) -> None:
    with predictor(tmp_path, **BUSY, deadline_s="0.3") as running:
        status, _, body = post(running, LARGE)
        assert (status, body["code"]) == (504, "deadline_exceeded")
        wait_for(lambda: metric(running, "predictor_queue_tokens") == 0)
        assert post(running, {"instances": ["a lovely film"]})[0] == 200


def test_health_answers_while_the_engine_is_busy(tmp_path: Path) -> None:
    with predictor(tmp_path, **BUSY) as running, ThreadPoolExecutor(1) as pool:
        large = pool.submit(post, running, LARGE)
        answered = 0
        while not large.done():
            connection = HTTPConnection("127.0.0.1", running.port, timeout=5)
            connection.request("GET", "/v2/health/ready")
            assert connection.getresponse().status == 200
            connection.close()
            answered += 1
        assert large.result()[0] == 200
        # Were the loop held by a forward or by tokenising, one or two answers would come in all this time.
        assert answered > 20


def test_a_shorter_maximum_length_cuts_and_changes_the_version(tmp_path: Path) -> None:
    with predictor(tmp_path, max_length_tokens="16") as running:
        _, short_headers, _ = post(running, {"instances": ["film " * 30]})
    with predictor(tmp_path) as running:
        _, headers, _ = post(running, {"instances": ["film " * 30]})
    assert short_headers["x-truncated"] == "1"
    assert "x-truncated" not in headers
    assert short_headers["x-model-version"] != headers["x-model-version"]


def test_the_torch_engine_serves_the_same_labels_under_another_version(tmp_path: Path) -> None:
    texts = {"instances": ["a lovely film", "a dreadful mess", "not bad at all"]}
    answers = {}
    for engine in ("openvino", "torch"):
        with predictor(tmp_path, engine=engine, precision="f32", model_dir=str(TINY_MODEL)) as running:
            _, headers, body = post(running, texts)
            answers[engine] = (headers["x-model-version"], body["predictions"])
            assert metric(running, "predictor_model_info{") == 1
    (version, ours), (torch_version, theirs) = answers["openvino"], answers["torch"]
    assert version != torch_version
    for mine, other in zip(ours, theirs, strict=True):
        assert [label["label"] for label in mine] == [label["label"] for label in other]
        assert mine[0]["score"] == pytest.approx(other[0]["score"], abs=1e-4)


def test_many_clients_at_once_get_their_own_answers(tmp_path: Path) -> None:
    texts = [f"a {word} film number {index}" for index in range(40) for word in ("lovely", "dreadful")]
    with predictor(tmp_path, precision="f32") as running:
        alone = [post(running, {"instances": [text]})[2]["predictions"][0] for text in texts]
        start = threading.Barrier(16)

        def client(number: int) -> None:
            start.wait()
            for offset in range(len(texts)):
                index = (number * 5 + offset) % len(texts)
                pair = [texts[index], texts[(index + 1) % len(texts)]]
                status, _, body = post(running, {"instances": pair})
                assert status == 200
                assert body["predictions"] == [alone[index], alone[(index + 1) % len(texts)]]

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(client, range(16)))
        forwards = metric(running, "predictor_inference_seconds_count")
        assert forwards < 16 * len(texts) + len(texts)


async def test_the_benchmarks_clients_see_every_answer_and_the_time_beside_inference(tmp_path: Path) -> None:
    with predictor(tmp_path, threads="1") as running:
        target, texts = Target(f"http://127.0.0.1:{running.port}{PREDICT}", "instances"), UniqueTexts(["a lovely film"])
        first: list[str] = []
        alone = await asyncio.to_thread(lone_client, target, texts=texts, seconds=0.2, before=first.append)
        rate, together = await closed_loop(target, texts=texts, clients=4, size=3, seconds=0.2)
        assert len(first) == len(alone.answered_ms)
        answered = len(alone.answered_ms) + 3 * len(together.answered_ms)
        assert metric(running, "predictor_texts_total") == answered > 0
    assert rate > 0
    for seen in (alone, together):
        assert seen.failed == seen.late == 0
        assert all(0 < beside < whole for beside, whole in zip(seen.overhead_ms, seen.answered_ms, strict=True))
