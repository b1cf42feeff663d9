"""Every refusal of the predictor: its status, its one body, its headers, and nothing of the request in it."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from support.processes import Server, server

from local.ports import free_port

PREDICT = "/v1/models/sentiment:predict"
INFER = "/v2/models/sentiment/infer"
SECRET = "plugh-secret"
TENSOR = {"name": "text", "shape": [1], "datatype": "BYTES", "data": [SECRET]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    command = ["-m", "predictor", "--model_name=sentiment", f"--http_port={port}", "--enable_grpc=false"]
    env = {"PREDICTOR_DRAIN_S": "0", "PREDICTOR_MAX_BODY_BYTES": "20000", "PREDICTOR_MAX_TEXT_CHARS": "100"}
    log = tmp_path_factory.mktemp("predictor") / "log"
    with server(command, port=port, log=log, ready="/v2/health/ready", env=env) as process:
        yield process


def call(
    running: Server, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], Any]:
    sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    connection = HTTPConnection("127.0.0.1", running.port, timeout=20)
    try:
        connection.request(method, path, body=sent, headers=headers or {})
        response = connection.getresponse()
        return response.status, {n.lower(): v for n, v in response.getheaders()}, json.loads(response.read())
    finally:
        connection.close()


def v1(*texts: Any) -> dict[str, Any]:
    return {"instances": list(texts)}


def oip(**change: Any) -> dict[str, Any]:
    return {"inputs": [TENSOR | change]}


REFUSED: dict[str, tuple[str, str, Any, int, str]] = {
    "v1 not json": ("POST", PREDICT, b'{"instances": ["' + SECRET.encode(), 422, "invalid_request"),
    "v1 no body": ("POST", PREDICT, None, 422, "invalid_request"),
    "v1 a list": ("POST", PREDICT, [SECRET], 422, "invalid_request"),
    "v1 no instances": ("POST", PREDICT, {SECRET: [SECRET]}, 422, "invalid_request"),
    "v1 instances no list": ("POST", PREDICT, {"instances": SECRET}, 422, "invalid_request"),
    "v1 none": ("POST", PREDICT, v1(), 422, "invalid_request"),
    "v1 blank": ("POST", PREDICT, v1(SECRET, " "), 422, "invalid_request"),
    "v1 not a string": ("POST", PREDICT, v1(SECRET, {"a": SECRET}), 422, "invalid_request"),
    "v1 too many": ("POST", PREDICT, v1(*[SECRET] * 129), 422, "invalid_request"),
    "v1 too long": ("POST", PREDICT, v1(SECRET * 10), 422, "invalid_request"),
    "v1 lone surrogate": ("POST", PREDICT, b'{"instances": ["\\ud83d"]}', 422, "invalid_request"),
    "v1 not utf-8": ("POST", PREDICT, b'{"instances": ["\xff"]}', 422, "invalid_request"),
    "v1 too large": ("POST", PREDICT, v1(SECRET * 2000), 413, "payload_too_large"),
    "v1 other model": ("POST", "/v1/models/other:predict", v1(SECRET), 404, "model_not_found"),
    "v1 get": ("GET", PREDICT, None, 405, "method_not_allowed"),
    "oip not json": ("POST", INFER, b"{", 400, "invalid_request"),
    "oip no inputs": ("POST", INFER, {"inputs": []}, 400, "invalid_request"),
    "oip other name": ("POST", INFER, oip(name=SECRET), 400, "invalid_request"),
    "oip other type": ("POST", INFER, oip(datatype="FP32"), 400, "invalid_request"),
    "oip other shape": ("POST", INFER, oip(shape=[2]), 400, "invalid_request"),
    "oip blank": ("POST", INFER, oip(data=[" "]), 400, "invalid_request"),
    "oip other output": ("POST", INFER, oip() | {"outputs": [{"name": SECRET}]}, 400, "invalid_request"),
    "oip too large": ("POST", INFER, oip(data=[SECRET * 2000]), 413, "payload_too_large"),
    "oip other model": ("POST", "/v2/models/other/infer", oip(), 404, "model_not_found"),
    "oip other version": ("POST", "/v2/models/sentiment/versions/0/infer", oip(), 404, "model_not_found"),
    "oip delete": ("DELETE", INFER, None, 405, "method_not_allowed"),
    "no route": ("GET", f"/{SECRET}", None, 404, "not_found"),
    "health post": ("POST", "/v2/health/ready", None, 405, "method_not_allowed"),
    "metadata of another": ("GET", "/v2/models/other", None, 404, "model_not_found"),
    "metadata of another version": ("GET", "/v2/models/sentiment/versions/0", None, 404, "model_not_found"),
    "readiness of another": ("GET", "/v2/models/other/ready", None, 404, "model_not_found"),
    "v1 readiness of another": ("GET", "/v1/models/other", None, 404, "model_not_found"),
    "explain": ("POST", "/v1/models/sentiment:explain", v1(SECRET), 501, "not_implemented"),
    "load": ("POST", "/v2/repository/models/sentiment/load", None, 404, "not_found"),
    "unload": ("POST", "/v2/repository/models/sentiment/unload", None, 404, "not_found"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_has_its_status_and_the_one_body(running: Server, case: str) -> None:
    method, path, body, status, code = REFUSED[case]
    got, headers, said = call(running, method, path, body, {"x-request-id": "mine"})
    assert (got, said["code"]) == (status, code)
    assert set(said) <= {"error", "code", "detail"}
    assert said["error"]
    for finding in said.get("detail", []):
        assert set(finding) == {"loc", "msg", "type"}
    assert headers["content-type"] == "application/json"
    shown = json.dumps(said)
    assert SECRET not in shown
    assert "Traceback" not in shown
    if status == 405:
        assert headers["allow"]


def test_a_body_without_announced_length_is_cut_off_at_the_limit(running: Server) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", running.port), timeout=20) as client:
        # Far beyond the limit, and no end: the answer comes although more is announced.
        client.sendall(head + chunk * (16 * 20 + 1))
        answer = b"".join(iter(lambda: client.recv(65_536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["code"] == "payload_too_large"


def test_the_model_survives_all_of_it(running: Server) -> None:
    for method, path, body, *_ in REFUSED.values():
        call(running, method, path, body)
    status, _, said = call(running, "POST", PREDICT, v1("a lovely film"))
    assert status == 200
    assert said["predictions"][0][0]["label"] == "POSITIVE"


def test_the_document_names_what_is_served_and_nothing_else(running: Server) -> None:
    _, _, document = call(running, "GET", "/openapi.json")
    paths = document["paths"]
    assert {PREDICT, "/v2/models/{model_name}/infer", "/v2/health/ready", "/metrics"} <= set(paths)
    assert not [path for path in paths if "repository" in path or "explain" in path]
    served = {(path, method) for path, operations in paths.items() for method in operations}
    for path, method in served:
        filled = path.replace("{model_name}", "sentiment")
        if method == "get" and filled != "/metrics":
            assert call(running, "GET", filled)[0] == 200, path
    texts = document["components"]["schemas"]["V1Request"]["oneOf"][0]["properties"]["instances"]
    assert (texts["maxItems"], texts["items"]["maxLength"]) == (128, 100)
