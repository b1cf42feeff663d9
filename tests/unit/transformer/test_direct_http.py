"""Which requests are answered without ASGI, and which go the long way."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from support.protocol_rig import Rig

from transformer.direct_http import DirectHttp
from transformer.protocol.replies import Headers, Reply

BODY = b'{"text": ["a"]}'
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(BODY)
ANSWER = Reply(200, [(b"content-length", b"2")], b"{}", "hit")


class Answers:
    """Answers at once, or when told."""

    def __init__(self) -> None:
        self.direct_urls: set[bytes] = {b"/predict"}
        self.asked: list[bytes] = []
        self.waits: asyncio.Event | None = None

    def answer(self, _url: bytes, _headers: Headers, body: bytes) -> Reply | Coroutine[Any, Any, Reply]:
        self.asked.append(body)
        return self._later(self.waits) if self.waits else ANSWER

    async def _later(self, event: asyncio.Event) -> Reply:
        await event.wait()
        return ANSWER


class AnsweringRig(Rig):
    """A connection to the transformer's protocol."""

    def __init__(self) -> None:
        self.answers = Answers()
        super().__init__(DirectHttp, direct=self.answers)


@pytest.fixture
async def rig() -> AnsweringRig:
    return AnsweringRig()


async def test_whole_request_is_answered_before_the_read_returns(rig: AnsweringRig) -> None:
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    assert rig.transport.written == b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    assert rig.answers.asked == [BODY]
    assert rig.long_way == []
    assert not rig.state.tasks


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"\r\n" + BODY[:3], BODY[3:]],
        [HEAD + b"\r\n", BODY],
        [HEAD + b"expect: 100-continue\r\n\r\n" + BODY],
        [HEAD.replace(b"/predict", b"/other") + b"\r\n" + BODY],
        [HEAD.replace(b"POST", b"PUT") + b"\r\n" + BODY],
    ],
    ids=["body in pieces", "body after the head", "expect", "another route", "another method"],
)
async def test_other_requests_go_the_long_way(rig: AnsweringRig, pieces: list[bytes]) -> None:
    for piece in pieces:
        rig.protocol.data_received(piece)
        await rig.settle()
    assert len(rig.long_way) == 1
    assert rig.answers.asked == []
    assert rig.transport.written.endswith(b"long")


async def test_nothing_is_direct_once_the_handler_wants_it_so(rig: AnsweringRig) -> None:
    rig.answers.direct_urls = set()
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    assert rig.long_way == ["/predict"]


async def test_request_behind_one_under_way_waits_its_turn(rig: AnsweringRig) -> None:
    rig.answers.waits = asyncio.Event()
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    assert rig.transport.written == b""
    assert len(rig.state.tasks) == 1  # the server waits for it before it leaves
    rig.answers.waits.set()
    await rig.settle()
    assert rig.transport.written.index(b"{}") < rig.transport.written.index(b"long")


async def test_client_that_left_is_not_written_to(rig: AnsweringRig) -> None:
    rig.answers.waits = asyncio.Event()
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    rig.protocol.connection_lost(ConnectionResetError())
    rig.answers.waits.set()
    await rig.settle()
    assert rig.transport.written == b""
    assert not rig.state.tasks


async def test_server_that_leaves_finishes_and_says_so(rig: AnsweringRig) -> None:
    rig.answers.waits = asyncio.Event()
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    rig.protocol.shutdown()
    assert not rig.transport.closed
    rig.answers.waits.set()
    await rig.settle()
    assert b"connection: close\r\n" in rig.transport.written
    assert rig.transport.closed


async def test_slow_reader_holds_answers_back(rig: AnsweringRig) -> None:
    rig.answers.waits = asyncio.Event()
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    rig.protocol.pause_writing()
    rig.answers.waits.set()
    await rig.settle()
    assert rig.transport.written == b""
    rig.protocol.resume_writing()
    await rig.settle()
    assert rig.transport.written.endswith(b"{}")
