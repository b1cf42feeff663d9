"""One table of requests, one verdict on both servers: what REST clients may send, and what they are told else.

A marker stands in every refused request; it must come back in no answer and stand in no log.
"""

import gzip
import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from support.real_stack import LIMIT_BYTES, SERVERS, Running, both

MARKER = "xyzzymarker"
PREDICT = "/v1/models/sentiment:predict"
INFER = "/v2/models/sentiment/infer"
TENSOR: dict[str, Any] = {"name": "text", "shape": [2], "datatype": "BYTES", "data": [MARKER, "dull"]}
ONE = json.dumps({"instances": [MARKER]}).encode()
EVENT = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "/films", "ce-type": "org.example.film"}
STRUCTURED = "application/cloudevents+json"
OTHER_TYPES = ("application/octet-stream", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Running]]:
    with both(tmp_path_factory.mktemp("both")) as servers:
        yield servers


@pytest.fixture(params=SERVERS)
def one(running: dict[str, Running], request: pytest.FixtureRequest) -> Running:
    return running[request.param]


def oip(tensor: dict[str, Any] | None = None, /, **more: Any) -> bytes:
    return json.dumps({"inputs": [TENSOR | (tensor or {})], **more}).encode()


def packed(*texts: str) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def binary(raw: bytes, *, size: Any) -> tuple[bytes, dict[str, str]]:
    described = {"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": size}}
    head = json.dumps({"inputs": [described]}).encode()
    return head + raw, {"Inference-Header-Content-Length": str(len(head))}


def event(**change: Any) -> bytes:
    whole = {
        "specversion": "1.0", "id": "7", "source": "/films", "type": "org.example.film", "time": "2026-01-01T00:00:00Z",
        "data": {"instances": [MARKER]},
    }  # fmt: skip
    return json.dumps({key: value for key, value in (whole | change).items() if value is not None}).encode()


class Case(NamedTuple):
    """A request and its verdict."""

    path: str
    body: bytes
    status: int
    headers: Mapping[str, str] = MappingProxyType({})
    code: str = "invalid_request"


def with_binary(raw: bytes, *, size: Any) -> Case:
    body, headers = binary(raw, size=size)
    return Case(INFER, body, 400, headers)


RAW = packed(MARKER, "dull")
BOMB = gzip.compress(json.dumps({"instances": [MARKER + "a" * 5_000_000]}).encode())

REFUSED: dict[str, Case] = {
    # Fields of a wrong type.
    "id is a number": Case(INFER, oip(id=7), 400),
    "id is a list of words": Case(INFER, oip(id=[MARKER]), 400),
    "id is an object": Case(INFER, oip(id={MARKER: 1}), 400),
    "parameters are a list": Case(INFER, oip(parameters=[MARKER]), 400),
    "parameters are a string": Case(INFER, oip(parameters=MARKER), 400),
    "binary_data_output is a string": Case(INFER, oip(parameters={"binary_data_output": "true"}), 400),
    "inputs are an object": Case(INFER, json.dumps({"inputs": {MARKER: 1}}).encode(), 400),
    "inputs are null": Case(INFER, json.dumps({"inputs": None}).encode(), 400),
    "no inputs": Case(INFER, b"{}", 400),
    "an input is a string": Case(INFER, json.dumps({"inputs": [MARKER]}).encode(), 400),
    "two inputs": Case(INFER, json.dumps({"inputs": [TENSOR, TENSOR]}).encode(), 400),
    "name is a list": Case(INFER, oip({"name": [MARKER]}), 400),
    "name of another": Case(INFER, oip({"name": MARKER}), 400),
    "datatype is a number": Case(INFER, oip({"datatype": 7}), 400),
    "datatype of another": Case(INFER, oip({"datatype": "FP32"}), 400),
    "shape of strings": Case(INFER, oip({"shape": ["2"]}), 400),
    "shape of floats": Case(INFER, oip({"shape": [2.0]}), 400),
    "shape of booleans": Case(INFER, oip({"shape": [True], "data": [MARKER]}), 400),
    "shape is a number": Case(INFER, oip({"shape": 2}), 400),
    "shape is absent": Case(INFER, oip({"shape": None}), 400),
    "shape of a row": Case(INFER, oip({"shape": [1, 2]}), 400),
    "shape of three sizes": Case(INFER, oip({"shape": [2, 1, 1]}), 400),
    "shape says another number": Case(INFER, oip({"shape": [3]}), 400),
    "shape is enormous": Case(INFER, oip({"shape": [10**18, 1]}), 400),
    "shape is negative": Case(INFER, oip({"shape": [-2]}), 400),
    "data is null": Case(INFER, oip({"data": None}), 400),
    "data is absent": Case(INFER, b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES"}]}', 400),
    "data is a string": Case(INFER, oip({"data": MARKER}), 400),
    "data is an object": Case(INFER, oip({"data": {MARKER: 1}}), 400),
    "data of numbers": Case(INFER, oip({"data": [1, 2]}), 400),
    "data of nulls": Case(INFER, oip({"data": [None, MARKER]}), 400),
    "data nested in a flat shape": Case(INFER, oip({"data": [[MARKER], ["a"]]}), 400),
    "data of half nested rows": Case(INFER, oip({"shape": [2, 1], "data": [[MARKER], "a"]}), 400),
    "data of a lone surrogate": Case(INFER, oip({"data": ["\ud800", MARKER]}), 400),
    "data is blank": Case(INFER, oip({"data": [MARKER, " "]}), 400),
    "tensor's parameters are a list": Case(INFER, oip({"parameters": [MARKER]}), 400),
    "binary_data_size without binary data": Case(INFER, oip({"parameters": {"binary_data_size": 5}}), 400),
    "binary_data_size and no data": Case(INFER, oip({"data": None, "parameters": {"binary_data_size": 5}}), 400),
    "outputs are an object": Case(INFER, oip(outputs={MARKER: 1}), 400),
    "an output is a string": Case(INFER, oip(outputs=["label"]), 400),
    "an output's name is a list": Case(INFER, oip(outputs=[{"name": ["label"]}]), 400),
    "an output's parameters are a list": Case(INFER, oip(outputs=[{"name": "label", "parameters": []}]), 400),
    "binary_data is a string": Case(INFER, oip(outputs=[{"name": "label", "parameters": {"binary_data": "no"}}]), 400),
    "unknown output": Case(INFER, oip(outputs=[{"name": MARKER}]), 400),
    "doubled output": Case(INFER, oip(outputs=[{"name": "label"}, {"name": "label"}]), 400),
    "not JSON": Case(INFER, f'{{"inputs": "{MARKER}'.encode(), 400),
    "not UTF-8": Case(INFER, MARKER.encode() + b"\xff", 400),
    "a list": Case(INFER, json.dumps([MARKER]).encode(), 400),
    "empty": Case(INFER, b"", 400),
    # The binary extension.
    "JSON length of 5 000 digits": Case(INFER, RAW, 400, {"Inference-Header-Content-Length": "9" * 5_000}),
    "JSON length of words": Case(INFER, RAW, 400, {"Inference-Header-Content-Length": MARKER}),
    "JSON length with a sign": Case(INFER, RAW, 400, {"Inference-Header-Content-Length": "+2"}),
    "JSON length beyond the body": Case(INFER, b"{}", 400, {"Inference-Header-Content-Length": "3"}),
    "binary data that is cut": with_binary(RAW[:-1], size=len(RAW) - 1),
    "binary data with a length too large": with_binary(struct.pack("<I", 2**32 - 1) + b"a", size=5),
    "binary data that is not UTF-8": with_binary(struct.pack("<I", 1) + b"\xff" + struct.pack("<I", 1) + b"a", size=10),
    "binary_data_size is a string": with_binary(RAW, size=str(len(RAW))),
    "binary_data_size is a boolean": with_binary(RAW, size=True),
    "binary_data_size is too small": with_binary(RAW, size=len(RAW) - 1),
    "binary_data_size is negative": with_binary(RAW, size=-1),
    # Names, methods, routes.
    "infer of another model": Case("/v2/models/other/infer", oip(), 404, code="model_not_found"),
    "infer of another version": Case("/v2/models/sentiment/versions/9/infer", oip(), 404, code="model_not_found"),
    "predict of another model": Case("/v1/models/other:predict", ONE, 404, code="model_not_found"),
    "explain": Case("/v1/models/sentiment:explain", ONE, 501, code="not_implemented"),
    "load": Case("/v2/repository/models/sentiment/load", ONE, 404, code="not_found"),
    "no such route": Case(f"/{MARKER}", ONE, 404, code="not_found"),
    # V1.
    "V1 is not JSON": Case(PREDICT, b'{"instances": ["' + MARKER.encode(), 422),
    "V1 without texts": Case(PREDICT, json.dumps({MARKER: [MARKER]}).encode(), 422),
    "V1 with two keys": Case(PREDICT, json.dumps({"instances": [MARKER], "inputs": [MARKER]}).encode(), 422),
    "V1 of numbers": Case(PREDICT, b'{"instances": [1]}', 422),
    "V1 of objects": Case(PREDICT, json.dumps({"instances": [{MARKER: MARKER}]}).encode(), 422),
    "V1 with a blank text": Case(PREDICT, json.dumps({"instances": [MARKER, ""]}).encode(), 422),
    "V1 too large": Case(PREDICT, ONE + b" " * LIMIT_BYTES, 413, code="payload_too_large"),
    # Encodings.
    "deflate": Case(PREDICT, ONE, 415, {"Content-Encoding": "deflate"}, "unsupported_encoding"),
    "zstd": Case(PREDICT, ONE, 415, {"Content-Encoding": "zstd"}, "unsupported_encoding"),
    "gzip twice": Case(PREDICT, ONE, 415, {"Content-Encoding": "gzip, gzip"}, "unsupported_encoding"),
    "gzip that is none": Case(PREDICT, ONE, 400, {"Content-Encoding": "gzip"}),
    "gzip that is cut": Case(PREDICT, gzip.compress(ONE)[:-9], 400, {"Content-Encoding": "gzip"}),
    "a gzip bomb": Case(PREDICT, BOMB, 413, {"Content-Encoding": "gzip"}, "payload_too_large"),
    "a gzip bomb of tensors": Case(INFER, BOMB, 413, {"Content-Encoding": "gzip"}, "payload_too_large"),
    # Events.
    "an event with other data": Case(PREDICT, event(data={MARKER: 1}), 422, {"Content-Type": STRUCTURED}),
    "an event without a source": Case(PREDICT, event(source=None), 400, {"Content-Type": STRUCTURED}),
    "an event that is none": Case(PREDICT, MARKER.encode(), 400, {"Content-Type": STRUCTURED}),
    "a binary event with other data": Case(PREDICT, json.dumps({MARKER: 1}).encode(), 422, EVENT),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_alike(one: Running, name: str) -> None:
    case = REFUSED[name]
    reply = one.ask("POST", case.path, case.body, case.headers)
    assert (reply.status, reply.json["code"]) == (case.status, case.code), reply
    assert set(reply.json) <= {"error", "code", "detail"}
    assert reply.json["error"].endswith(".")
    assert reply.headers["content-type"] == "application/json"
    assert MARKER.encode() not in reply.body
    if case.status == 415:
        assert reply.headers["accept-encoding"] == "gzip, identity"


@pytest.mark.parametrize("content_type", OTHER_TYPES)
def test_the_content_type_changes_no_verdict(one: Running, content_type: str) -> None:
    for case in (case for case in REFUSED.values() if case.path == INFER and "Content-Encoding" not in case.headers):
        reply = one.ask("POST", case.path, case.body, {**case.headers, "Content-Type": content_type})
        assert (reply.status, reply.json["code"]) == (case.status, case.code), case


def test_both_say_it_in_the_same_words(running: dict[str, Running]) -> None:
    for case in REFUSED.values():
        said = [running[name].ask("POST", case.path, case.body, case.headers).json for name in SERVERS]
        assert said[0] == said[1]


def test_an_unknown_output_is_told_which_there_are(one: Running) -> None:
    said = one.ask("POST", INFER, oip(outputs=[{"name": MARKER}])).json["error"]
    assert "label" in said
    assert "scores" in said


@pytest.mark.parametrize("content_type", ["application/json", *OTHER_TYPES])
def test_tensors_are_taken_flat_nested_and_binary_whatever_the_content_type(one: Running, content_type: str) -> None:
    typed = {"Content-Type": content_type}
    expected = one.ask("POST", INFER, oip(), typed).json["outputs"]
    assert [output["name"] for output in expected] == ["label", "scores"]
    for tensor in ({"shape": [2, 1]}, {"shape": [2, 1], "data": [[MARKER], ["dull"]]}):
        assert one.ask("POST", INFER, oip(tensor), typed).json["outputs"] == expected
    body, headers = binary(RAW, size=len(RAW))
    assert one.ask("POST", INFER, body, headers | typed).json["outputs"] == expected


def test_outputs_are_those_asked_for(one: Running) -> None:
    reply = one.ask("POST", INFER, oip(outputs=[{"name": "scores"}]))
    assert [output["name"] for output in reply.json["outputs"]] == ["scores"]
    raw = one.ask("POST", INFER, oip(outputs=[{"name": "scores", "parameters": {"binary_data": True}}]))
    end = int(raw.headers["inference-header-content-length"])
    flat = list(struct.unpack("<4f", raw.body[end:]))
    assert flat == pytest.approx(reply.json["outputs"][0]["data"])


def test_an_announced_version_is_served_and_another_is_not(one: Running) -> None:
    assert one.ask("POST", INFER, oip()).status == 200
    (version,) = one.ask("GET", "/v2/models/sentiment").json["versions"]
    path = f"/v2/models/sentiment/versions/{version}"
    reply = one.ask("POST", path + "/infer", oip())
    assert (reply.status, reply.json["model_version"], reply.headers["x-model-version"]) == (200, version, version)
    assert one.ask("GET", path).json["versions"] == [version]
    assert one.ask("GET", path + "/ready").json["ready"] is True
    for suffix in ("", "/ready"):
        reply = one.ask("GET", "/v2/models/sentiment/versions/9" + suffix)
        assert (reply.status, reply.json["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("key", ["instances", "inputs", "text"])
def test_v1_takes_texts_under_each_name(one: Running, key: str) -> None:
    reply = one.ask("POST", PREDICT, json.dumps({key: ["a fine film"]}).encode())
    assert reply.status == 200
    assert reply.json["predictions"][0][0]["label"] == "POSITIVE"


def test_v1_answers_are_the_same_bytes(running: dict[str, Running]) -> None:
    body = json.dumps({"instances": ["written twice", "so dull", "it is a joy"]}).encode()
    plain = running["predictor"].ask("POST", PREDICT, body)
    replies = [running["transformer"].ask("POST", PREDICT, body) for _ in range(2)]
    assert [reply.headers["x-cache"] for reply in replies] == ["miss", "hit"]
    assert [reply.body for reply in replies] == [plain.body, plain.body]


def test_gzip_bodies_are_answered_as_plain_ones(one: Running) -> None:
    for path, body in ((PREDICT, ONE), (INFER, oip(id="7"))):
        plain = one.ask("POST", path, body)
        for encoding, sent in (("gzip", gzip.compress(body)), ("x-gzip", gzip.compress(body)), ("identity", body)):
            assert one.ask("POST", path, sent, {"Content-Encoding": encoding}).body == plain.body


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_a_slash_at_the_end_changes_nothing(one: Running, path: str) -> None:
    body = ONE if path == PREDICT else oip(id="7")
    assert one.ask("POST", path + "/", body).body == one.ask("POST", path, body).body
    for get in ("/v2/health/ready", "/v2/models/sentiment", "/v1/models/sentiment", "/metrics"):
        assert one.ask("GET", get + "/").status == 200


def test_a_binary_event_is_answered_by_one(one: Running) -> None:
    plain = one.ask("POST", PREDICT, ONE)
    reply = one.ask("POST", PREDICT, ONE, EVENT)
    assert (reply.status, reply.body) == (200, plain.body)
    assert reply.headers["content-type"] == "application/json"
    said = {name: value for name, value in reply.headers.items() if name.startswith("ce-")}
    assert (said["ce-specversion"], said["ce-type"]) == ("1.0", "io.kserve.inference.response")
    assert said["ce-source"] == "io.kserve.inference.sentiment"
    assert said["ce-id"] != EVENT["ce-id"]
    assert "ce-time" in said


def test_a_structured_event_is_answered_by_one(one: Running) -> None:
    plain = one.ask("POST", PREDICT, ONE)
    reply = one.ask("POST", PREDICT, event(), {"Content-Type": STRUCTURED})
    assert (reply.status, reply.headers["content-type"]) == (200, STRUCTURED)
    assert reply.json["data"] == plain.json
    assert reply.json["source"] == "io.kserve.inference.sentiment"
    assert {"specversion", "id", "source", "type", "time", "data"} == set(reply.json)
    assert "ce-id" not in reply.headers


def test_an_event_that_does_not_say_so_is_answered_plainly(one: Running) -> None:
    reply = one.ask("POST", PREDICT, event(), {"Content-Type": "application/json"})
    assert (reply.status, reply.body) == (200, one.ask("POST", PREDICT, ONE).body)


def test_half_of_an_events_attributes_make_no_event(one: Running) -> None:
    reply = one.ask("POST", PREDICT, ONE, {"ce-specversion": "1.0", "ce-id": "7"})
    assert reply.status == 200
    assert "ce-id" not in reply.headers


def test_pages_of_other_origins_may_not_read_answers(one: Running) -> None:
    origin = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    assert "access-control-allow-origin" not in one.ask("OPTIONS", PREDICT, headers=origin).headers
    assert "access-control-allow-origin" not in one.ask("POST", PREDICT, ONE, origin).headers


def test_origins_that_are_named_may_read_answers(tmp_path: Path) -> None:
    origins = ("https://example.org", "https://example.com")
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    with both(tmp_path, CORS_ORIGINS=", ".join(origins)) as servers:
        for one in servers.values():
            for origin in origins:
                ahead = one.ask("OPTIONS", PREDICT, headers=asked | {"Origin": origin})
                assert (ahead.status, ahead.headers["access-control-allow-origin"]) == (200, origin)
                reply = one.ask("POST", PREDICT, ONE, EVENT | {"Origin": origin})
                assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, origin)
                own = {name for name in reply.headers if name.startswith(("x-", "ce-"))}
                assert {"x-model-version", "ce-id", "ce-type"} < own
                assert own <= set(reply.headers["access-control-expose-headers"].split(", "))
            stranger = one.ask("POST", PREDICT, ONE, {"Origin": "https://example.net"})
            assert "access-control-allow-origin" not in stranger.headers


def test_no_log_holds_anything_of_a_refused_request(running: dict[str, Running]) -> None:
    for one in running.values():
        for case in REFUSED.values():
            for content_type in ("application/json", *OTHER_TYPES):
                headers = {"Content-Type": content_type, **case.headers}
                reply = one.ask("POST", case.path, case.body, headers | {"X-Request-Id": "plain"})
                assert reply.status < 502, case
        said = one.process.output()
        assert MARKER not in said
        assert {json.loads(line)["level"] for line in said.splitlines()} <= {"info"}, said[-2_000:]
