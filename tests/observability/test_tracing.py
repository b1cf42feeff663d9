"""Traces: one from the gateway's header to the engine, exported to a collector; nothing at all unless asked for."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import aiohttp
import grpc
import pytest
from aiohttp import web
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from support.collector import Collector, Span
from support.predictor_double import PredictorDouble
from support.processes import REPO, environment, server
from support.transformer_process import Client, command, transformer

from local.ports import free_port
from local.running import Ports, running_stack
from serving.tracing import exporter_named

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
PREDICT = "POST /predict"
INFER = "POST /v2/models/{model_name}/infer"
CALL = "inference.GRPCInferenceService/ModelInfer"
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture(scope="module")
def stack(collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    folder: Path = tmp_path_factory.mktemp("stack")
    with running_stack(folder, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **FAST) as ports:
        yield ports


def ask(url: str, *texts: str, trace: str = TRACE) -> None:
    """Post texts as a gateway does, with a trace of its own."""

    async def post() -> None:
        headers = {"traceparent": f"00-{trace}-{PARENT}-01"}
        async with aiohttp.ClientSession(headers=headers) as session:
            async with session.post(f"{url}/predict", json={"text": texts}) as answer:
                assert answer.status == 200

    asyncio.run(post())


def inside(inner: Span, outer: Span) -> bool:
    """Say whether a span began within another: a server's may end a moment after its caller has read the answer."""
    return outer.start_ns <= inner.start_ns <= outer.end_ns


def test_a_miss_is_one_trace_from_the_gateway_to_the_engine(stack: Ports, collector: Collector) -> None:
    ask(stack.url, "a text that nobody has asked for", "and another")
    names = (PREDICT, "validate", "look-up", "forward", "store", INFER, "tokenise", "queue", "infer")
    spans = collector.wait_for(names)
    assert {span.trace for span in spans.values()} == {TRACE}
    assert spans[PREDICT].parent == PARENT
    parents = {name: next((s.name for s in spans.values() if s.id == spans[name].parent), None) for name in names[1:]}
    assert parents == {
        "validate": PREDICT, "look-up": PREDICT, "forward": PREDICT, "store": PREDICT, INFER: "forward",
        "tokenise": INFER, "queue": INFER, "infer": INFER,
    }  # fmt: skip
    assert {name: spans[name].service for name in (PREDICT, INFER)} == {
        PREDICT: "sentiment-transformer",
        INFER: "sentiment-predictor",
    }
    assert spans[PREDICT].attributes["sentiment.cache"] == "miss"
    assert spans[PREDICT].attributes["http.response.status_code"] == 200
    assert spans["look-up"].attributes["sentiment.found"] == 0
    assert inside(spans["forward"], spans[PREDICT])
    assert inside(spans[INFER], spans["forward"])
    assert inside(spans["tokenise"], spans[INFER])


def test_a_hit_goes_nowhere(stack: Ports, collector: Collector) -> None:
    trace = TRACE[::-1]
    ask(stack.url, "a hit", trace=trace)
    collector.wait_for(["forward"])
    ask(stack.url, "a hit", trace="a" * 32)
    deadline = time.monotonic() + 10
    while not (own := [span for span in collector.spans if span.trace == "a" * 32]) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(0.3)
    own = [span for span in collector.spans if span.trace == "a" * 32]
    assert {span.name for span in own} == {PREDICT, "validate", "look-up"}


def test_no_text_is_in_a_trace(stack: Ports, collector: Collector) -> None:
    ask(stack.url, "confidential words")
    collector.wait_for([PREDICT, INFER])
    assert "confidential" not in repr(collector.spans)


def test_probes_and_scrapes_are_not_traced(stack: Ports, collector: Collector) -> None:
    async def probe() -> None:
        async with aiohttp.ClientSession() as session:
            for path in ("/health", "/metrics", "/v2/health/ready"):
                async with session.get(stack.url + path) as answer:
                    assert answer.status == 200

    asyncio.run(probe())
    ask(stack.url, "after the probes", trace="b" * 32)
    deadline = time.monotonic() + 10
    while not any(span.trace == "b" * 32 for span in collector.spans) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert {span.name.split()[-1] for span in collector.spans} & {"/health", "/metrics", "/v2"} == set()


class GrpcPorts(NamedTuple):
    """Where the two servers take gRPC, and who collects their spans."""

    transformer: int
    predictor: int
    collector: Collector


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GrpcPorts]:
    """Both servers with gRPC and traces."""
    folder: Path = tmp_path_factory.mktemp("grpc")
    http, grpc_port, model_http, model_grpc = (free_port() for _ in range(4))
    model = ["-m", "predictor", "--model_name=sentiment", f"--http_port={model_http}", f"--grpc_port={model_grpc}"]
    front = command(predictor_host=f"127.0.0.1:{model_http}", port=http, grpc_port=grpc_port)
    ready = "/v2/health/ready"
    with Collector() as collector:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "PREDICTOR_DRAIN_S": "0",
            "TRANSFORMER_DRAIN_S": "0",
            **FAST,
        }
        with (
            server(model, port=model_http, log=folder / "predictor.log", ready=ready, env=env),
            server(front, port=http, log=folder / "transformer.log", ready=ready, env=env),
        ):
            yield GrpcPorts(grpc_port, model_grpc, collector)


def call(port: int, *texts: str, trace: str, model: str = "sentiment") -> grpc.StatusCode:
    """Ask over gRPC as a traced client does; give the status."""
    contents = pb.InferTensorContents(bytes_contents=[text.encode() for text in texts])
    tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[len(texts)], contents=contents)
    # The binary entry is what gRPC's own tracing adds: no propagator reads it, and none may fail on it.
    metadata = [("traceparent", f"00-{trace}-{PARENT}-01"), ("grpc-trace-bin", b"\x00")]
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = GRPCInferenceServiceStub(channel)
        try:
            stub.ModelInfer(pb.ModelInferRequest(model_name=model, inputs=[tensor]), metadata=metadata, timeout=30)
        except grpc.RpcError as error:
            status: grpc.StatusCode = error.code()
            return status
        return grpc.StatusCode.OK


def traced(collector: Collector, trace: str, *names: str) -> dict[str, Span]:
    """Give a trace's spans by service and name, once all these are there."""
    deadline = time.monotonic() + 20
    found: dict[str, Span] = {}
    while not set(names) <= found.keys() and time.monotonic() < deadline:
        time.sleep(0.05)
        mine = [span for span in collector.spans if span.trace == trace]
        found = {f"{span.service.removeprefix('sentiment-')} {span.name}": span for span in mine}
    assert set(names) <= found.keys(), found.keys()
    return found


def test_a_call_over_grpc_is_one_trace_from_the_client_to_the_engine(calls: GrpcPorts) -> None:
    assert call(calls.transformer, "nobody called for this", trace="c" * 32) is grpc.StatusCode.OK
    front, forward, model = f"transformer {CALL}", "transformer forward", f"predictor {INFER}"
    parents = {
        "transformer validate": front, "transformer look-up": front, forward: front, "transformer store": front,
        model: forward, "predictor tokenise": model, "predictor queue": model, "predictor infer": model,
    }  # fmt: skip
    spans = traced(calls.collector, "c" * 32, front, *parents)
    assert spans.keys() == {front, *parents}
    assert spans[front].parent == PARENT
    assert {name: spans[name].parent for name in parents} == {name: spans[up].id for name, up in parents.items()}
    assert spans[front].server
    assert not spans[front].error
    assert spans[front].attributes == {
        "rpc.system": "grpc",
        "rpc.service": "inference.GRPCInferenceService",
        "rpc.method": "ModelInfer",
        "rpc.grpc.status_code": 0,
    }
    assert inside(spans[model], spans[front])


def test_a_call_to_the_predictor_itself_is_a_trace(calls: GrpcPorts) -> None:
    assert call(calls.predictor, "straight to the model", trace="d" * 32) is grpc.StatusCode.OK
    steps = ("predictor tokenise", "predictor queue", "predictor infer")
    spans = traced(calls.collector, "d" * 32, f"predictor {CALL}", *steps)
    root = spans[f"predictor {CALL}"]
    assert (root.parent, root.server, root.attributes["rpc.grpc.status_code"]) == (PARENT, True, 0)
    assert {spans[name].parent for name in steps} == {root.id}


@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_a_refused_call_has_its_status_and_is_the_clients_error(calls: GrpcPorts, service: str) -> None:
    trace = {"transformer": "e", "predictor": "f"}[service] * 32
    assert call(getattr(calls, service), "x", trace=trace, model="other") is grpc.StatusCode.NOT_FOUND
    root = traced(calls.collector, trace, f"{service} {CALL}")[f"{service} {CALL}"]
    assert root.attributes["rpc.grpc.status_code"] == grpc.StatusCode.NOT_FOUND.value[0]
    assert not root.error


@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_health_over_grpc_is_not_traced(calls: GrpcPorts, service: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{getattr(calls, service)}") as channel:
        assert GRPCInferenceServiceStub(channel).ServerReady(pb.ServerReadyRequest(), timeout=30).ready
    trace = {"transformer": "1", "predictor": "2"}[service] * 32
    call(getattr(calls, service), "after the probe", trace=trace)
    traced(calls.collector, trace, f"{service} {CALL}")
    assert not [span.name for span in calls.collector.spans if "Ready" in span.name]


async def test_failed_call_is_marked(tmp_path: Path) -> None:
    with Collector() as collector:
        env, port = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **FAST}, free_port()
        async with transformer(tmp_path, predictor_host="127.0.0.1:9", grpc_port=port, **env):
            assert await asyncio.to_thread(call, port, "x", trace=TRACE) is grpc.StatusCode.UNAVAILABLE
            spans = await asyncio.to_thread(collector.wait_for, [CALL, "forward"])
    assert spans[CALL].error
    assert spans[CALL].attributes["rpc.grpc.status_code"] == grpc.StatusCode.UNAVAILABLE.value[0]


async def test_call_that_its_client_gave_up_is_cancelled(predictor: PredictorDouble, tmp_path: Path) -> None:
    reached, gone = asyncio.Event(), asyncio.Event()

    async def hold(_: web.Request) -> None:
        reached.set()
        await gone.wait()

    predictor.intercept = hold
    with Collector() as collector:
        env, port = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **FAST}, free_port()
        async with transformer(tmp_path, predictor_host=predictor.host, grpc_port=port, **env):
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                tensor = pb.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[1])
                tensor.contents.bytes_contents.append(b"never mind")
                asked = GRPCInferenceServiceStub(channel).ModelInfer(
                    pb.ModelInferRequest(model_name="sentiment", inputs=[tensor])
                )
                await reached.wait()
                asked.cancel()
            spans = await asyncio.to_thread(collector.wait_for, [CALL])
            gone.set()
    assert spans[CALL].attributes["rpc.grpc.status_code"] == grpc.StatusCode.CANCELLED.value[0]
    assert not spans[CALL].error


async def test_failure_is_marked(tmp_path: Path) -> None:
    with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, **FAST}
        async with transformer(tmp_path, predictor_host="127.0.0.1:9", **env) as running:
            client = Client(running.url)
            answer = await client.predict("nobody there")
            await client.session.close()
            assert answer.status == 503
            spans = await asyncio.to_thread(collector.wait_for, [PREDICT, "forward"])
    assert spans[PREDICT].error
    assert spans["forward"].error


async def test_what_waits_is_sent_on_the_way_down(predictor: PredictorDouble, tmp_path: Path) -> None:
    with Collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "60000"}
        async with transformer(tmp_path, predictor_host=predictor.host, **env) as running:
            client = Client(running.url)
            await client.predict("last words")
            await client.session.close()
            assert collector.spans == []
        assert PREDICT in {span.name for span in collector.spans}


async def test_a_collector_that_is_away_harms_nobody(predictor: PredictorDouble, tmp_path: Path) -> None:
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **FAST}
    async with transformer(tmp_path, predictor_host=predictor.host, **env) as running:
        client = Client(running.url)
        assert (await client.predict("fine")).status == 200
        await client.session.close()
        began_s = time.monotonic()
        status = await asyncio.to_thread(running.stop)
        assert status == 0
        assert time.monotonic() - began_s < 30  # the pod's grace


async def test_logs_carry_request_and_trace_and_no_text(predictor: PredictorDouble, tmp_path: Path) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host, TRANSFORMER_ACCESS_LOG="true") as running:
        client = Client(running.url)
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "abc-1"}
        await client.predict("secret words", **headers)
        await client.session.close()
        lines = [json.loads(line) for line in running.output().splitlines()]
    (line,) = [each for each in lines if each.get("route") == "/predict"]
    assert (line["request_id"], line["trace_id"]) == ("abc-1", TRACE)
    assert (line["route"], line["status"], line["outcome"]) == ("/predict", 200, "miss")
    assert "secret" not in running.output()


async def test_quiet_per_request_by_default(predictor: PredictorDouble, tmp_path: Path) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host) as running:
        before = running.output()
        client = Client(running.url)
        for n in range(5):
            await client.predict(f"text {n}")
        await client.session.close()
        assert running.output() == before


@pytest.mark.parametrize(
    ("environ", "exporter"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "x"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "otlp_proto_http"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, "otlp_proto_http"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "otlp_proto_grpc"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
    ],
)
def test_standard_variables_decide(environ: dict[str, str], exporter: str | None) -> None:
    assert exporter_named(environ) == exporter


async def test_missing_exporter_is_said_and_survived(predictor: PredictorDouble, tmp_path: Path) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host, OTEL_TRACES_EXPORTER="nonsense") as running:
        client = Client(running.url)
        assert (await client.predict("fine")).status == 200
        await client.session.close()
        assert "no exporter called nonsense" in running.output()


@pytest.mark.parametrize("service", ["transformer", "predictor"])
def test_without_traces_nothing_that_traces_is_loaded(service: str) -> None:
    program = (
        f"import sys; sys.argv = ['{service}', '--model_name=m'];"
        "from serving.lean_imports import import_sdk_leanly; import_sdk_leanly();"
        f"import {service}.server; from serving import tracing;"
        "assert tracing.start({}, service='s') is None;"
        f"parts = ('opentelemetry.exporter', 'serving.traced', '{service}.traced');"
        "print([name for name in sys.modules if name.startswith(parts)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
