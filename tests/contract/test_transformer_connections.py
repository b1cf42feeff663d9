"""One answer however the request comes: in one piece or many, kept alive or not, with what HTTP allows around it."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import pytest
import pytest_asyncio
from support.predictor_double import PredictorDouble
from support.processes import Server
from support.transformer_process import Client, transformer

pytestmark = pytest.mark.asyncio(loop_scope="module")
MODULE = {"scope": "module", "loop_scope": "module"}


class Reply(NamedTuple):
    """What came back, and whether the connection closed after it."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool


@pytest_asyncio.fixture(**MODULE)
async def predictor() -> AsyncIterator[PredictorDouble]:
    double = PredictorDouble()
    await double.start()
    yield double
    await double.stop()


@pytest_asyncio.fixture(**MODULE)
async def process(predictor: PredictorDouble, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder = tmp_path_factory.mktemp("connections")
    env = {"TRANSFORMER_MAX_BODY_BYTES": "4096", "TRANSFORMER_L1_TTL_S": "3600"}
    async with transformer(folder, predictor_host=predictor.host, **env) as running:
        client = Client(running.url)
        assert (await client.predict("known")).status == 200
        await client.session.close()
        yield running


async def exchange(process: Server, pieces: Sequence[bytes], *, pause_s: float = 0.05) -> Reply:
    """Send pieces with pauses between them on a connection of its own; read one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause_s)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    if head.startswith("HTTP/1.1 100"):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    body = await reader.readexactly(int(headers["content-length"]))
    try:
        closed = await asyncio.wait_for(reader.read(1), 0.3) == b""
    except TimeoutError:
        closed = False
    writer.close()
    return Reply(int(first.split()[1]), headers, body, closed)


def request(body: bytes, *headers: str, path: str = "/predict", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "host: x", *headers]
    if not any(header.lower().startswith("transfer-encoding") for header in headers):
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def halves(whole: bytes, at: int) -> list[bytes]:
    return [whole[:at], whole[at:]]


BODIES = {
    "hit": (b'{"text": ["known"]}', 200),
    "miss": (b'{"text": ["known", "new %s"]}', 200),
    "bad": (b'{"text": [""]}', 422),
    "too large": (b'{"text": ["%s"]}' % (b"x" * 5_000), 413),
}


@pytest.mark.parametrize("kind", BODIES)
async def test_pieces_make_the_answer_of_the_whole(process: Server, kind: str) -> None:
    body, status = BODIES[kind]
    replies = []
    for way in ("whole", "in the head", "in the body", "chunked"):
        its = body.replace(b"%s", way.encode())
        whole = request(its, "x-request-id: me")
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(its), its)
        pieces = {
            "whole": [whole],
            "in the head": halves(whole, 10),
            "in the body": halves(whole, len(whole) - 5),
            "chunked": [request(b"", "x-request-id: me", "transfer-encoding: chunked") + chunks],
        }[way]
        reply = await exchange(process, pieces)
        assert reply.status == status, way
        replies.append(reply)
    assert len({reply.body for reply in replies}) == 1 or kind == "miss"
    assert len({frozenset(reply.headers) - {"connection"} for reply in replies}) == 1
    assert {reply.headers.get("x-cache") for reply in replies} == {{"hit": "hit", "miss": "partial"}.get(kind)}
    assert {reply.headers["x-request-id"] for reply in replies} == {"me"}
    if kind in ("hit", "miss"):
        assert all(len(json.loads(reply.body)["predictions"]) == len(json.loads(body)["text"]) for reply in replies)


@pytest.mark.parametrize("kind", ["hit", "miss", "bad"])
@pytest.mark.parametrize(
    ("header", "version", "closes"),
    [
        ("x-nothing: 1", "1.1", False),
        ("connection: close", "1.1", True),
        ("x-nothing: 1", "1.0", True),
        ("connection: keep-alive", "1.0", True),
    ],
)
async def test_connection_ends_when_the_client_wants_it_to(
    process: Server, kind: str, header: str, version: str, *, closes: bool
) -> None:
    body, status = BODIES[kind]
    whole = request(body.replace(b"%s", f"{header} {version}".encode()), header, version=version)
    reply = await exchange(process, [whole])
    assert (reply.status, reply.closed) == (status, closes)
    assert ("close" in reply.headers.get("connection", "")) is closes


async def test_client_that_asks_first_is_told_to_go_on(process: Server) -> None:
    body = BODIES["hit"][0]
    whole = request(body, "expect: 100-continue")
    reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
    writer.write(whole[: -len(body)])
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
    writer.write(body)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()


@pytest.mark.parametrize("path", ["/predict?x=1", "/%70redict", "/", "/v1/models/sentiment:predict"])
async def test_every_spelling_of_the_route_answers(process: Server, path: str) -> None:
    assert (await exchange(process, [request(BODIES["hit"][0], path=path)])).status == 200


async def test_answers_keep_the_order_of_hits_and_misses_on_one_connection(
    process: Server, predictor: PredictorDouble
) -> None:
    predictor.delay_s = 0.2
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", process.port)
        texts = ["slow 1", "known", "slow 2", "known"]
        for n, text in enumerate(texts):
            writer.write(request(json.dumps({"text": [text]}).encode(), f"x-request-id: n{n}"))
            await asyncio.sleep(0.02)
        for n in range(len(texts)):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:"))
            await reader.readexactly(length)
            assert f"x-request-id: n{n}\r\n" in head
        writer.close()
    finally:
        predictor.delay_s = 0.0
