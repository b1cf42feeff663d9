import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from support.processes import free_port

from predictor.connections import BoundedHttp, Bounds
from predictor.direct_http import Headers, Reply


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the size of the body, once it is here; /endless begins to answer and never ends."""
    if scope["path"] == "/endless":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            break
    content = b"%d" % size
    headers = [(b"content-length", b"%d" % len(content))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


class NothingDirect:
    """Leaves every request to the application."""

    direct_urls: frozenset[bytes] = frozenset()

    async def answer(self, url: bytes, headers: Headers, body: bytes) -> Reply:
        raise AssertionError((url, headers, body))


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Site:
    """A running server and connections to it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: list[asyncio.StreamWriter] = []

    async def connect(self) -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._open.append(writer)
        return reader, writer

    async def close(self) -> None:
        for writer in self._open:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._open), return_exceptions=True)


@asynccontextmanager
async def site(*, head_bytes: int = 1000, receive_s: float = 30, connections: int = 100) -> AsyncIterator[Site]:
    bounds = Bounds(head_bytes=head_bytes, receive_s=receive_s, connections=connections)
    port = free_port()
    http = functools.partial(BoundedHttp, bounds=bounds, direct=NothingDirect())
    config = uvicorn.Config(app, port=port, http=http, log_config=None, lifespan="off", ws="none")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    running = Site(port)
    try:
        yield running
    finally:
        await running.close()
        server.should_exit = True
        await serving


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Read one answer with a stated length."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).decode().split("\r\n")
    headers = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in head[1:] if line}
    return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def refusal(reader: asyncio.StreamReader) -> tuple[int, str]:
    """Read a refusal, which ends the connection; give its status and code."""
    status, headers, body = await read_answer(reader)
    assert headers["connection"] == "close"
    assert await asyncio.wait_for(reader.read(), 10) == b""
    said = json.loads(body)
    assert set(said) == {"error", "code"}
    return status, said["code"]


async def test_requests_within_the_bounds_are_answered_one_after_another() -> None:
    async with site(receive_s=0.5) as running:
        reader, writer = await running.connect()
        for size in (0, 10, 100_000):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
            status, _, body = await read_answer(reader)
            assert (status, body) == (200, b"%d" % size)
        await asyncio.sleep(0.8)
        # Idle between requests is not slow.
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(reader))[0] == 200


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"POST / HT",
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
    ],
)
async def test_a_request_that_does_not_arrive_in_time_is_refused(begun: bytes) -> None:
    async with site(receive_s=0.2) as running:
        reader, writer = await running.connect()
        writer.write(begun)
        assert await refusal(reader) == (408, "request_timeout")


async def test_a_request_that_drips_gains_no_time() -> None:
    async with site(receive_s=0.3) as running:
        reader, writer = await running.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        ended = asyncio.ensure_future(reader.read())
        while not ended.done():
            writer.write(b"x")
            await asyncio.sleep(0.02)
        # What is sent after the end resets the connection, now and then before the refusal is read.
        with contextlib.suppress(ConnectionError):
            assert b"request_timeout" in ended.result()


@pytest.mark.parametrize("pieces", [1, 5])
async def test_a_head_beyond_the_bound_is_refused(pieces: int) -> None:
    async with site(head_bytes=500) as running:
        reader, writer = await running.connect()
        head = b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (n, b"y" * 40) for n in range(20)) + b"\r\n"
        sent = head if pieces == 1 else head[:520]
        step = -(-len(sent) // pieces)
        for start in range(0, len(sent), step):
            writer.write(sent[start : start + step])
            await writer.drain()
            await asyncio.sleep(0.01)
        assert await refusal(reader) == (431, "headers_too_large")


async def test_a_large_body_is_no_large_head() -> None:
    async with site(head_bytes=200) as running:
        reader, writer = await running.connect()
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(b"x" * 5000)
            assert (await read_answer(reader))[2] == b"5000"


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
async def test_what_is_no_http_is_refused_with_the_one_body(sent: bytes) -> None:
    async with site() as running:
        reader, writer = await running.connect()
        writer.write(sent)
        assert await refusal(reader) == (400, "malformed_request")


async def test_nothing_is_written_into_the_midst_of_an_answer() -> None:
    async with site(receive_s=0.2) as running:
        reader, writer = await running.connect()
        writer.write(b"POST /endless HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
        said = await asyncio.wait_for(reader.read(), 10)
        assert b"begun" in said
        assert b"request_timeout" not in said


async def test_connections_beyond_their_number_are_closed_unheard() -> None:
    async with site(connections=2) as running:
        kept = [await running.connect() for _ in range(2)]
        await asyncio.sleep(0.05)
        reader, writer = await running.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await read_answer(reader)
        kept[0][1].write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await read_answer(kept[0][0]))[0] == 200
