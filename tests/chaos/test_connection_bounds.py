"""Whatever a client sends or leaves unsaid, its connection costs so much memory and so many seconds, and no more."""

import asyncio
import contextlib
import itertools
import json
import socket
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from chaos.stack import resources
from support.both_servers import PATHS, SERVERS, Site, site
from support.connection_cases import HIT, MISS, POST, read_answers

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
RECEIVE_S, KEEP_ALIVE_S = 1.0, 4.0


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SERVERS)
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    settings = {"RECEIVE_TIMEOUT_S": str(RECEIVE_S), "KEEP_ALIVE_S": str(KEEP_ALIVE_S), "MAX_CONNECTIONS": "100"}
    async with site(request.param, tmp_path_factory.mktemp(request.param), **settings) as one:
        yield one


@contextlib.asynccontextmanager
async def connection(running: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.server.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def ask(running: Site, template: bytes, *, miss: str = "new") -> bytes:
    return running.target(miss=miss).fill(template)


async def serves(running: Site) -> None:
    async with connection(running) as (reader, writer):
        writer.write(ask(running, POST + b"connection: close\r\n" + HIT))
        assert [status for status, _ in read_answers(await asyncio.wait_for(reader.read(), 20))] == ["200"]


async def settles(running: Site, descriptors: int) -> None:
    async with asyncio.timeout(20):
        while resources(running.server.process)["descriptors"] > descriptors:  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.1)


ENDLESS = {
    "trailers": (b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x-trailer-%d: " + b"t" * 1_000 + b"\r\n", "431"),
    "one trailer": (b"transfer-encoding: chunked\r\n\r\n0\r\nx: ", b"t%d" * 300, "431"),
    "an extension": (b"transfer-encoding: chunked\r\n\r\n1;", b"t%d" * 300, "431"),
    "extensions": (b"transfer-encoding: chunked\r\n\r\n", b"1;" + b"e%d" * 300 + b"\r\nx\r\n", "431"),
    "headers": (b"", b"x-header-%d: " + b"t" * 1_000 + b"\r\n", "431"),
    "one header": (b"x: ", b"t%d" * 300, "431"),
    "chunks": (b"transfer-encoding: chunked\r\n\r\n", b"3e8\r\n" + b"t" * 1_000 + b"\r\n", "413"),
    "a body": (b"content-length: 100000000000\r\n\r\n", b"t" * 1_000, "413"),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_what_never_ends_is_refused_in_little_memory(running: Site, kind: str) -> None:
    begins, piece, status = ENDLESS[kind]
    await serves(running)
    before = resources(running.server.process)["resident_bytes"]
    most = 0
    async with connection(running) as (reader, writer):
        said = asyncio.ensure_future(reader.read())
        writer.write(ask(running, POST + begins))
        with contextlib.suppress(ConnectionError):
            for n in range(100):
                writer.write(b"".join(piece.replace(b"%d", b"%d" % (1_000 * n + m)) for m in range(1_000)))
                await writer.drain()
                most = max(most, resources(running.server.process)["resident_bytes"])
                if said.done():
                    break
        with contextlib.suppress(ConnectionError):
            answers = read_answers(await asyncio.wait_for(said, 20))
            assert [answer[0] for answer in answers] == [status]
    assert most - before < 24 << 20
    await serves(running)


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"P", POST[:-9]], ids=["nothing", "a blank line", "a letter", "a head"])
@pytest.mark.parametrize("after", [b"", POST + HIT], ids=["at first", "after an answer"])
@pytest.mark.parametrize("drips", [False, True], ids=["silent", "dripping"])
async def test_connection_on_which_no_request_is_complete_is_closed(
    running: Site, sent: bytes, after: bytes, *, drips: bool
) -> None:
    if drips and not sent:
        drips = False
    if not sent and not after:
        return  # its two minutes are shown in tests/unit/serving
    sent = ask(running, sent) if b"%" in sent else sent
    async with connection(running) as (reader, writer):
        writer.write(ask(running, after) + sent)
        loop = asyncio.get_running_loop()
        started = loop.time()
        said = asyncio.ensure_future(reader.read())
        with contextlib.suppress(ConnectionError):
            while not said.done():
                await asyncio.sleep(0.1)
                if drips:
                    writer.write(b"\r\n" if sent == b"\r\n" else b"X")
                assert loop.time() - started < 30
        with contextlib.suppress(ConnectionError):
            statuses = [status for status, _ in read_answers(said.result())]
            told = ["408"] if sent.strip() else []  # nobody is told off who has said nothing
            assert statuses == (["200", *told] if after else told)


async def test_blank_lines_hold_no_place(running: Site) -> None:
    before = resources(running.server.process)["descriptors"]
    async with contextlib.AsyncExitStack() as open_:
        for _ in range(100):
            _, writer = await open_.enter_async_context(connection(running))
            writer.write(b"\r\n")
        await asyncio.sleep(RECEIVE_S + 1)
        await serves(running)
    await settles(running, before + 5)


async def test_idle_connections_make_room_for_newcomers(running: Site) -> None:
    async with contextlib.AsyncExitStack() as open_:
        for _ in range(150):
            reader, writer = await open_.enter_async_context(connection(running))
            writer.write(ask(running, POST + HIT))
            assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)).startswith(b"HTTP/1.1 200 ")
        await serves(running)


async def test_answer_that_nobody_reads_is_not_kept_for_ever(running: Site) -> None:
    before = resources(running.server.process)["descriptors"]
    many = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 500
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        link.connect(("127.0.0.1", running.server.port))
        link.settimeout(0.5)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(100):
                await asyncio.to_thread(link.sendall, many)
        await settles(running, before)
    await serves(running)


@pytest.mark.parametrize("sent", [POST + HIT, POST + MISS], ids=["hit", "miss"])
async def test_half_closed_client_is_answered_and_closed(running: Site, sent: bytes) -> None:
    async with connection(running) as (reader, writer):
        writer.write(ask(running, sent, miss=f"half {running.name}"))
        writer.write_eof()
        assert [status for status, _ in read_answers(await asyncio.wait_for(reader.read(), 20))] == ["200"]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
async def test_clients_that_go_leave_nothing_behind(running: Site, *, reset: bool) -> None:
    await serves(running)
    before = resources(running.server.process)["descriptors"]
    if running.double:
        running.double.delay_s = 0.5
    heads = [POST + MISS] * 60 + [POST[:20], POST + b"content-length: 9\r\n\r\nx"] * 20
    for n, head in enumerate(heads):
        with socket.create_connection(("127.0.0.1", running.server.port)) as link:
            if reset:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            link.sendall(ask(running, head, miss=f"gone {n} {reset}"))
            await asyncio.sleep(0.002)
    if running.double:
        running.double.delay_s = 0.0
    await settles(running, before + 60)  # the transformer's pool to its predictor keeps some
    await serves(running)


async def test_pipelining_clients_that_go_leave_nothing_behind(running: Site) -> None:
    numbers = itertools.count()
    for _ in range(20):
        async with connection(running) as (_, writer):
            for _ in range(10):
                writer.write(ask(running, POST + MISS + POST + HIT, miss=f"pipelined {next(numbers)}"))
            await asyncio.sleep(0.005)
            writer.transport.abort()
    await serves(running)


async def test_nothing_of_it_was_an_error_of_the_server(running: Site) -> None:
    lines = [json.loads(line) for line in running.server.output().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["level"] in ("error", "critical")] == []
    assert "Traceback" not in running.server.output()
    assert PATHS[running.name] not in running.server.output()
