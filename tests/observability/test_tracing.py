"""Traces: one from the gateway's header to the engine, exported to a collector; nothing at all unless asked for."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from support.collector import Collector, Span
from support.predictor_double import PredictorDouble
from support.processes import REPO, environment
from support.transformer_process import Client, transformer

from local.running import Ports, running_stack
from predictor.tracing import exporter_named as predictor_exporter
from transformer.tracing import exporter_named

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"
PREDICT = "POST /predict"
INFER = "POST /v2/models/{model_name}/infer"
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
    return outer.start_ns <= inner.start_ns <= inner.end_ns <= outer.end_ns


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
    assert (line["route"], line["status"], line["cache"]) == ("/predict", 200, "miss")
    assert "secret" not in running.output()


async def test_quiet_per_request_by_default(predictor: PredictorDouble, tmp_path: Path) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host) as running:
        before = running.output()
        client = Client(running.url)
        for n in range(5):
            await client.predict(f"text {n}")
        await client.session.close()
        assert running.output() == before


@pytest.mark.parametrize("named", [exporter_named, predictor_exporter])
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
def test_standard_variables_decide(named: object, environ: dict[str, str], exporter: str | None) -> None:
    assert callable(named)
    assert named(environ) == exporter


async def test_missing_exporter_is_said_and_survived(predictor: PredictorDouble, tmp_path: Path) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host, OTEL_TRACES_EXPORTER="nonsense") as running:
        client = Client(running.url)
        assert (await client.predict("fine")).status == 200
        await client.session.close()
        assert "no exporter called nonsense" in running.output()


def test_without_traces_nothing_that_traces_is_loaded() -> None:
    program = (
        "import sys; sys.argv = ['transformer', '--model_name=m'];"
        "from transformer.lean_imports import skip_unused_sdk_imports; skip_unused_sdk_imports();"
        "import transformer.server; from transformer import tracing;"
        "assert tracing.start({}, service='s') is None;"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.exporter', 'transformer.traced'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPO, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr
