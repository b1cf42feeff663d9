"""Clients that hold, trickle, flood or half-close connections, and a process that runs short: bounded and survived."""
# ruff: noqa: ASYNC110  # a test polls other processes, and may wait while it starts one

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from chaos.stack import knows_model, resources
from support.predictor_double import PredictorDouble
from support.processes import Server
from support.transformer_process import Client, transformer

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODULE = {"scope": "module", "loop_scope": "module"}
BODY = b'{"text": ["warm"]}'
REQUEST = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


@pytest_asyncio.fixture(**MODULE)
async def predictor() -> AsyncIterator[PredictorDouble]:
    double = PredictorDouble()
    await double.start()
    yield double
    await double.stop()


@pytest_asyncio.fixture(**MODULE)
async def process(predictor: PredictorDouble, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("limits")
    async with transformer(folder, predictor_host=predictor.host, TRANSFORMER_RECEIVE_TIMEOUT_S="1") as running:
        await knows_model(running.url)
        yield running


@pytest_asyncio.fixture(**MODULE)
async def client(process: Server) -> AsyncIterator[Client]:
    one = Client(process.url)
    yield one
    await one.session.close()


@contextlib.contextmanager
def connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as ends:
        yield [ends.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30)) for _ in range(count)]


def read_all(link: socket.socket) -> bytes:
    """Read until the other side closes."""
    parts = []
    with contextlib.suppress(ConnectionError):
        while part := link.recv(65_536):
            parts.append(part)
    return b"".join(parts)


async def assert_serves(client: Client) -> None:
    answer = await client.predict("warm")
    assert answer.status == 200, answer


async def settles(process: Server, name: str, most: int, *, within_s: float = 10) -> None:
    """Wait until the process holds no more of a resource than ``most``."""
    deadline = time.monotonic() + within_s
    while resources(process.process)[name] > most:
        assert time.monotonic() < deadline, (name, resources(process.process), most)
        await asyncio.sleep(0.1)


async def test_a_thousand_idle_connections_cost_descriptors_and_little_memory(process: Server, client: Client) -> None:
    await assert_serves(client)
    before = resources(process.process)
    with connections(process.port, 1_000):
        async with asyncio.timeout(30):
            while (during := resources(process.process))["descriptors"] < before["descriptors"] + 1_000:
                await asyncio.sleep(0.1)
        await assert_serves(client)
        assert during["resident_bytes"] - before["resident_bytes"] < 64 << 20
        assert during["threads"] == before["threads"]
    await settles(process, "descriptors", before["descriptors"] + 5)
    await assert_serves(client)


@pytest.mark.parametrize(
    "beginning",
    [b"POST /pre", b"POST /predict HTTP/1.1\r\nhost: x\r\nx-slow: ", REQUEST[:-5]],
    ids=["request line", "headers", "body"],
)
async def test_request_that_trickles_in_is_refused_and_costs_others_nothing(
    process: Server, client: Client, beginning: bytes
) -> None:
    with connections(process.port, 100) as slow:
        for link in slow:
            link.sendall(beginning)
        for _ in range(4):  # a byte now and then buys no more time
            await asyncio.sleep(0.2)
            for link in slow:
                link.sendall(b"x" if beginning != REQUEST[:-5] else b"")
            await assert_serves(client)
        ends = await asyncio.gather(*(asyncio.to_thread(read_all, link) for link in slow))
    for end in ends:
        assert end.startswith(b"HTTP/1.1 408 "), end
        assert json.loads(end.partition(b"\r\n\r\n")[2])["code"] == "request_timeout"
    await assert_serves(client)


async def test_silent_and_half_closed_connections_are_let_go(process: Server, client: Client) -> None:
    await assert_serves(client)
    before = resources(process.process)["descriptors"]
    with connections(process.port, 200) as links:
        for n, link in enumerate(links):
            link.sendall((b"", REQUEST, REQUEST[:20])[n % 3])
            link.shutdown(socket.SHUT_WR)
        await settles(process, "descriptors", before + 5)
        await assert_serves(client)


async def test_clients_that_vanish_leave_nothing_behind(
    process: Server, client: Client, predictor: PredictorDouble
) -> None:
    await assert_serves(client)
    before = resources(process.process)["descriptors"]
    predictor.delay_s = 0.5
    for n in range(50):
        with connections(process.port, 1) as (link,):
            body = b'{"text": ["gone %d"]}' % n
            link.sendall(b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
    predictor.delay_s = 0.0
    await asyncio.sleep(1)
    await settles(process, "descriptors", before + 60)  # the pool to the predictor keeps some
    assert await client.metric("transformer_in_flight") == 1  # the question itself
    await assert_serves(client)


async def test_pipelined_requests_are_answered_in_order(process: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    bodies = [b'{"text": ["p%d"]}' % n if n % 3 else b"nonsense" for n in range(60)]
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\nx-request-id: %d\r\ncontent-length: %d\r\n\r\n%s"
    writer.write(b"".join(head % (n, len(body), body) for n, body in enumerate(bodies)))
    for n, body in enumerate(bodies):
        said = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = next(int(line.split(b":")[1]) for line in said.split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(length)
        assert said.startswith(b"http/1.1 200" if body != b"nonsense" else b"http/1.1 422")
        assert b"x-request-id: %d\r\n" % n in said
    writer.close()


@pytest.mark.parametrize(
    "head",
    [
        b"POST /predict HTTP/1.1\r\nx-big: " + b"a" * (1 << 20) + b"\r\n\r\n",
        b"POST /predict HTTP/1.1\r\n" + b"".join(b"x-%d: 1\r\n" % n for n in range(50_000)) + b"\r\n",
        b"POST /" + b"a" * (1 << 20) + b" HTTP/1.1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nx-big: " + b"a" * 70_000 + b"\r\n\r\n",
    ],
    ids=["one header", "many headers", "path", "just over"],
)
async def test_huge_headers_are_refused(process: Server, client: Client, head: bytes) -> None:
    before = resources(process.process)["resident_bytes"]

    def send() -> bytes:
        with connections(process.port, 1) as (link,):
            with contextlib.suppress(ConnectionError):
                link.sendall(head)
            return read_all(link)

    answers = await asyncio.gather(*(asyncio.to_thread(send) for _ in range(20)))
    # Who is still sending when the refusal comes may find the connection reset instead.
    assert {answer[:12] for answer in answers} <= {b"HTTP/1.1 431", b""}
    assert resources(process.process)["resident_bytes"] - before < 64 << 20
    await assert_serves(client)


async def test_headers_within_the_limit_are_taken(client: Client) -> None:
    assert (await client.predict("warm", **{"x-big": "a" * 7_000})).status == 200


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\x00/ HTTP/1.1\r\n\r\n", b"POST /predict HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"\r\n" * 10 + b"?\r\n\r\n",
        b"POST /predict HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
    ids=["TLS", "HTTP/2", "NUL", "negative length", "blank lines", "length and chunks", "bad chunk"],
)  # fmt: skip
async def test_what_is_no_http_is_refused_with_the_one_body(process: Server, client: Client, garbage: bytes) -> None:
    def send() -> bytes:
        with connections(process.port, 1) as (link,):
            link.sendall(garbage)
            return read_all(link)

    answer = await asyncio.to_thread(send)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 505 "))
    assert set(json.loads(answer.partition(b"\r\n\r\n")[2])) == {"error", "code"}
    await assert_serves(client)


async def test_upgrade_to_a_websocket_is_not_taken(process: Server) -> None:
    def send() -> bytes:
        with connections(process.port, 1) as (link,):
            link.sendall(
                b"GET /predict HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, close\r\nupgrade: websocket\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
            return link.recv(65_536)

    assert (await asyncio.to_thread(send)).startswith(b"HTTP/1.1 405 ")


@pytest.mark.long
async def test_connections_beyond_the_limit_are_closed_at_once(predictor: PredictorDouble, tmp_path: Path) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host, TRANSFORMER_MAX_CONNECTIONS="20") as process:
        one = Client(process.url)
        await assert_serves(one)  # keeps its connection
        with connections(process.port, 60) as links:
            await asyncio.sleep(0.3)
            for link in links:
                link.settimeout(0)
            closed = 0
            for link in links:
                with contextlib.suppress(BlockingIOError):
                    with contextlib.suppress(ConnectionError):
                        link.recv(1)
                    closed += 1
            assert closed >= 60 - 20
            await assert_serves(one)
        await one.session.close()


async def test_flood_of_new_texts_is_refused_at_once_and_leaves_cached_ones_alone(
    predictor: PredictorDouble, tmp_path: Path
) -> None:
    async with transformer(tmp_path, predictor_host=predictor.host, TRANSFORMER_PREDICTOR_CONNECTIONS="10") as process:
        one = Client(process.url)
        await assert_serves(one)
        ended: list[str] = []
        predictor.delay_s = 4.0
        try:

            async def send(name: str, text: str) -> None:
                answer = await one.predict(text)
                assert answer.status == 200 or "retry-after" in answer.headers
                ended.append(f"{name} {answer.status}")

            flood = [send("new", f"flood {n}") for n in range(60)]
            cached = [send("cached", "warm") for _ in range(40)]
            await asyncio.gather(*(call for pair in zip(flood, cached, strict=False) for call in pair), *flood[40:])
        finally:
            predictor.delay_s = 0.0
        assert ended.count("cached 200") == 40
        assert ended.count("new 503") == 50
        # Order, not time: who was refused and who hit knew it before the first of the ten was through.
        assert ended[-10:] == ["new 200"] * 10
        await one.session.close()
