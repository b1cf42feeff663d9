"""Which requests are answered without ASGI, which go the long way, and what becomes of work whose client goes."""

import asyncio

import pytest
from support.protocol_rig import Rig

from predictor.direct_http import DirectHttp, Headers, Reply

URL = b"/v1/models/sentiment:predict"
BODY = b'{"instances": ["a"]}'
HEAD = b"POST %b HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % (URL, len(BODY))


class Answers:
    """Answers when told."""

    def __init__(self) -> None:
        self.direct_urls = {URL}
        self.asked: list[bytes] = []
        self.dropped = 0
        self.may = asyncio.Event()

    async def answer(self, _url: bytes, _headers: Headers, body: bytes) -> Reply:
        self.asked.append(body)
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.dropped += 1
            raise
        return Reply(200, [(b"x-said", b"yes")], b"{}")


class AnsweringRig(Rig):
    """A connection to the predictor's protocol."""

    def __init__(self) -> None:
        self.answers = Answers()
        super().__init__(DirectHttp, direct=self.answers)


@pytest.fixture
async def rig() -> AnsweringRig:
    return AnsweringRig()


async def test_a_whole_request_is_answered_in_one_piece(rig: AnsweringRig) -> None:
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    assert (rig.answers.asked, rig.transport.written) == ([BODY], b"")
    assert len(rig.state.tasks) == 1  # the server waits for it before it leaves
    rig.answers.may.set()
    await rig.settle()
    assert rig.transport.written == b"HTTP/1.1 200 OK\r\nx-said: yes\r\ncontent-length: 2\r\n\r\n{}"
    assert (rig.long_way, rig.state.tasks, rig.state.total_requests) == ([], set(), 1)


@pytest.mark.parametrize(
    "pieces",
    [
        [HEAD + b"\r\n" + BODY[:3], BODY[3:]],
        [HEAD + b"\r\n", BODY],
        [HEAD + b"expect: 100-continue\r\n\r\n" + BODY],
        [HEAD.replace(URL, b"/v2/models/sentiment/ready") + b"\r\n" + BODY],
        [HEAD.replace(b"POST", b"PUT") + b"\r\n" + BODY],
    ],
    ids=["body in pieces", "body after the head", "expect", "another route", "another method"],
)
async def test_other_requests_go_the_long_way(rig: AnsweringRig, pieces: list[bytes]) -> None:
    for piece in pieces:
        rig.protocol.data_received(piece)
        await rig.settle()
    assert (len(rig.long_way), rig.answers.asked) == (1, [])
    assert rig.transport.written.endswith(b"long")


async def test_nothing_is_direct_once_the_handler_wants_it_so(rig: AnsweringRig) -> None:
    rig.answers.direct_urls.clear()
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    assert rig.long_way == [URL.decode()]


async def test_a_request_behind_one_under_way_waits_its_turn(rig: AnsweringRig) -> None:
    for _ in range(2):
        rig.protocol.data_received(HEAD + b"\r\n" + BODY)
        await rig.settle()
    assert rig.transport.written == b""
    rig.answers.may.set()
    await rig.settle()
    assert rig.transport.written.index(b"{}") < rig.transport.written.index(b"long")


async def test_work_is_dropped_when_its_client_goes(rig: AnsweringRig) -> None:
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    rig.protocol.connection_lost(ConnectionResetError())
    await rig.settle()
    assert (rig.answers.dropped, rig.transport.written, rig.state.tasks) == (1, b"", set())


async def test_a_client_that_goes_before_its_work_begins_costs_none(rig: AnsweringRig) -> None:
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    rig.protocol.connection_lost(ConnectionResetError())
    await rig.settle()
    assert (rig.answers.asked, rig.transport.written, rig.state.tasks) == ([], b"", set())


async def test_a_client_that_goes_after_its_answer_drops_nothing(rig: AnsweringRig) -> None:
    rig.answers.may.set()
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    rig.protocol.connection_lost(None)
    await rig.settle()
    assert rig.answers.dropped == 0


@pytest.mark.parametrize("says", ["the client", "the server"])
async def test_the_last_answer_says_that_it_is_the_last(rig: AnsweringRig, says: str) -> None:
    wish = b"connection: close\r\n" if says == "the client" else b""
    rig.protocol.data_received(HEAD + wish + b"\r\n" + BODY)
    await rig.settle()
    if says == "the server":
        rig.protocol.shutdown()
    assert not rig.transport.closed
    rig.answers.may.set()
    await rig.settle()
    assert b"connection: close\r\n" in rig.transport.written
    assert rig.transport.closed


async def test_a_slow_reader_holds_answers_back(rig: AnsweringRig) -> None:
    rig.protocol.data_received(HEAD + b"\r\n" + BODY)
    await rig.settle()
    rig.protocol.pause_writing()
    rig.answers.may.set()
    await rig.settle()
    assert rig.transport.written == b""
    rig.protocol.resume_writing()
    await rig.settle()
    assert rig.transport.written.endswith(b"{}")
