"""Between SIGTERM and the closing of the port both servers are not ready, over REST and gRPC, and still answer."""

import contextlib
import json
import signal
from collections.abc import Iterator

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from support.real_stack import SERVERS, Running, both

SERVICE = "inference.GRPCInferenceService"
Health = health_pb2.HealthCheckResponse
READINESS = ("/v2/health/ready", "/v2/models/sentiment/ready", "/v1/models/sentiment")


@pytest.fixture(scope="module")
def leaving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Running, list[int]]]]:
    """Both after SIGTERM, and what a gRPC health watch that was opened before it has said."""
    with both(tmp_path_factory.mktemp("leaving"), DRAIN_S="600") as servers:
        watched = {}
        for name, one in servers.items():
            with grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as channel:
                asked = health_pb2.HealthCheckRequest(service=SERVICE)
                watch = health_pb2_grpc.HealthStub(channel).Watch(asked, timeout=20)
                said = [next(watch).status]
                one.process.process.send_signal(signal.SIGTERM)
                with contextlib.suppress(grpc.RpcError):
                    said.append(next(watch).status)
                watched[name] = one, said
        yield watched


@pytest.fixture(params=SERVERS)
def one(leaving: dict[str, tuple[Running, list[int]]], request: pytest.FixtureRequest) -> Running:
    return leaving[request.param][0]


@pytest.fixture
def channel(one: Running) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{one.grpc_port}") as opened:
        yield opened


@pytest.mark.parametrize("name", SERVERS)
def test_a_health_watch_hears_of_it(leaving: dict[str, tuple[Running, list[int]]], name: str) -> None:
    assert leaving[name][1] == [Health.SERVING, Health.NOT_SERVING]


@pytest.mark.parametrize("service", ["", SERVICE])
def test_grpc_health_is_not_serving(channel: grpc.Channel, service: str) -> None:
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
    assert answer.status == Health.NOT_SERVING


def test_the_protocols_own_readiness_falls_over_grpc(channel: grpc.Channel) -> None:
    stub = GRPCInferenceServiceStub(channel)
    assert not stub.ServerReady(pb.ServerReadyRequest()).ready
    assert not stub.ModelReady(pb.ModelReadyRequest(name="sentiment")).ready
    assert stub.ServerLive(pb.ServerLiveRequest()).live


@pytest.mark.parametrize("path", [*READINESS, "/v2/health/ready/", "/health"])
def test_readiness_over_rest_is_refused_and_the_connection_closes(one: Running, path: str) -> None:
    answer = one.ask("GET", path)
    if path == "/health" and "predictor" in one.process.log.name:
        assert answer.status == 404  # a route of the transformer's alone
    else:
        assert (answer.status, answer.json["code"]) == (503, "draining")
        assert answer.headers["retry-after"] == "1"
    assert answer.headers["connection"] == "close"


def test_it_lives_and_answers_until_the_port_closes(one: Running, channel: grpc.Channel) -> None:
    assert one.ask("GET", "/v2/health/live").status == 200
    texts = {"name": "text", "shape": [1], "datatype": "BYTES"}
    body = json.dumps({"inputs": [texts | {"data": ["a lovely film"]}]}).encode()
    over_rest = one.ask("POST", "/v2/models/sentiment/infer", body)
    assert (over_rest.status, over_rest.headers["connection"]) == (200, "close")
    tensor = texts | {"contents": {"bytes_contents": [b"a lovely film"]}}
    asked = pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
    assert GRPCInferenceServiceStub(channel).ModelInfer(asked).outputs
