"""Which requests are answered without ASGI, which go the long way, and how connections end."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.protocol_rig import Rig

URL = b"/predict"
BODY = b'{"text": ["a"]}'
HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % len(BODY)
WHOLE = HEAD + b"\r\n" + BODY
CHUNKED = b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nx-said: yes\r\ncontent-length: 2\r\n\r\n{}"


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    one = Rig(URL)
    yield one
    await one.leave()


async def test_whole_request_is_answered_before_the_read_returns(rig: Rig) -> None:
    rig.send(WHOLE)
    assert (rig.transport.written, rig.answers.asked, rig.long_way) == (ANSWER, [BODY], [])
    assert (rig.state.tasks, rig.state.total_requests) == (set(), 1)


async def test_whole_chunked_request_is_answered_without_asgi_too(rig: Rig) -> None:
    rig.send(CHUNKED + b"%x\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n" % (len(BODY), BODY))
    assert (rig.transport.written, rig.answers.asked) == (ANSWER, [BODY])


async def test_answer_that_takes_a_while_is_awaited(rig: Rig) -> None:
    rig.answers.may = asyncio.Event()
    rig.send(WHOLE)
    await rig.settle()
    assert (rig.answers.asked, rig.transport.written) == ([BODY], b"")
    assert len(rig.state.tasks) == 1  # the server waits for it before it leaves
    rig.answers.may.set()
    await rig.settle()
    assert (rig.transport.written, rig.state.tasks, rig.state.total_requests) == (ANSWER, set(), 1)


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
async def test_other_requests_go_the_long_way(rig: Rig, pieces: list[bytes]) -> None:
    for piece in pieces:
        rig.send(piece)
        await rig.settle()
    assert (len(rig.long_way), rig.bodies, rig.answers.asked) == (1, [BODY], [])
    assert rig.transport.written.endswith(b"long")


async def test_nothing_is_direct_once_the_handler_wants_it_so(rig: Rig) -> None:
    rig.answers.direct_urls.clear()
    rig.send(WHOLE)
    await rig.settle()
    assert rig.long_way == ["/predict"]


async def test_request_behind_one_under_way_waits_its_turn(rig: Rig) -> None:
    rig.answers.may = asyncio.Event()
    rig.send(WHOLE, b"GET /other HTTP/1.1\r\nhost: x\r\n\r\n")
    await rig.settle()
    assert (rig.transport.written, rig.long_way) == (b"", [])
    rig.answers.may.set()
    await rig.settle()
    assert rig.transport.written.index(b"{}") < rig.transport.written.index(b"long")


async def test_what_waits_its_turn_is_bounded(rig: Rig) -> None:
    rig.answers.may = asyncio.Event()
    rig.send(WHOLE, WHOLE * 2_000)
    await rig.settle()
    assert rig.transport.paused
    rig.answers.may.set()
    for _ in range(2_001):
        await rig.settle()
    assert (rig.transport.written.count(b"{}"), rig.transport.paused) == (2_001, False)


async def test_body_that_the_application_does_not_read_is_not_read_from_the_client(rig: Rig) -> None:
    rig.may_read = asyncio.Event()
    size = 1 << 20
    rig.send(b"POST /other HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
    await rig.settle()
    sent = 0
    while not rig.transport.paused:
        rig.send(b"x" * 50_000)
        sent += 50_000
    assert sent < 300_000
    rig.may_read.set()
    while sent < size:
        await rig.settle()
        assert not rig.transport.paused
        rig.send(b"x" * min(50_000, size - sent))
        sent += min(50_000, size - sent)
    await rig.settle()
    assert [len(body) for body in rig.bodies] == [size]


@pytest.mark.parametrize("rest", [b"?\r\n\r\n", b"\x00", b"GET / HTTP/1.1\r\n\r\n"])
async def test_what_was_asked_first_is_answered_before_garbage_is_refused(rig: Rig, rest: bytes) -> None:
    rig.answers.may = asyncio.Event()
    rig.send(WHOLE + rest + b"\r\n\r\n")
    await rig.settle()
    assert rig.transport.written == b""
    rig.answers.may.set()
    await rig.settle()
    assert rig.transport.written.startswith(ANSWER + b"HTTP/1.1 400 ")
    assert rig.transport.ended


async def test_work_is_dropped_when_its_client_goes(rig: Rig) -> None:
    rig.answers.may = asyncio.Event()
    rig.send(WHOLE)
    await rig.settle()
    rig.protocol.connection_lost(ConnectionResetError())
    await rig.settle()
    assert (rig.answers.dropped, rig.transport.written, rig.state.tasks) == (1, b"", set())


async def test_client_that_goes_before_its_work_begins_costs_none(rig: Rig) -> None:
    rig.answers.may = asyncio.Event()
    rig.send(WHOLE)
    rig.protocol.connection_lost(ConnectionResetError())
    await rig.settle()
    assert (rig.answers.asked, rig.transport.written, rig.state.tasks) == ([], b"", set())


async def test_client_that_goes_after_its_answer_drops_nothing(rig: Rig) -> None:
    rig.answers.may = asyncio.Event()
    rig.answers.may.set()
    rig.send(WHOLE)
    await rig.settle()
    rig.protocol.connection_lost(None)
    await rig.settle()
    assert rig.answers.dropped == 0


@pytest.mark.parametrize("says", ["the client", "the server"])
async def test_last_answer_says_that_it_is_the_last(rig: Rig, says: str) -> None:
    rig.answers.may = asyncio.Event()
    wish = b"connection: close\r\n" if says == "the client" else b""
    rig.send(HEAD + wish + b"\r\n" + BODY)
    await rig.settle()
    if says == "the server":
        rig.protocol.shutdown()
    assert not rig.transport.closed
    rig.answers.may.set()
    await rig.settle()
    assert b"connection: close\r\n" in rig.transport.written
    assert rig.transport.closed


async def test_slow_reader_holds_answers_back(rig: Rig) -> None:
    rig.answers.may = asyncio.Event()
    rig.send(WHOLE)
    await rig.settle()
    rig.protocol.pause_writing()
    rig.answers.may.set()
    await rig.settle()
    assert rig.transport.written == b""
    rig.protocol.resume_writing()
    await rig.settle()
    assert rig.transport.written.endswith(b"{}")


async def test_slow_reader_holds_the_next_request_back(rig: Rig) -> None:
    rig.protocol.pause_writing()
    rig.send(WHOLE)
    assert rig.answers.asked == []
    rig.protocol.resume_writing()
    assert rig.answers.asked == [BODY]


async def test_half_closed_client_is_answered_and_then_closed(rig: Rig) -> None:
    rig.answers.may = asyncio.Event()
    rig.send(WHOLE)
    await rig.settle()
    assert rig.protocol.eof_received()  # the transport stays open for the answer
    rig.answers.may.set()
    await rig.settle()
    assert (rig.transport.written, rig.transport.closed) == (ANSWER, True)


async def test_half_closed_client_with_a_long_wait_is_asked_whether_it_is_there(rig: Rig) -> None:
    rig.answers.may = asyncio.Event()
    rig.send(WHOLE)
    assert rig.protocol.eof_received()
    async with asyncio.timeout(10):
        while not rig.transport.written:  # noqa: ASYNC110  # nothing says so
            await asyncio.sleep(0.01)
    assert rig.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"\r\n", WHOLE, WHOLE[:20], WHOLE[:-5]])
async def test_half_closed_client_to_whom_nothing_is_owed_is_closed(rig: Rig, sent: bytes) -> None:
    rig.send(sent)
    assert not rig.protocol.eof_received()


async def test_offer_of_a_body_that_was_not_taken_up_ends_the_connection() -> None:
    async def refuse(_scope: object, _receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    rig = Rig(app=refuse)
    rig.send(HEAD + b"expect: 100-continue\r\n\r\n")
    await rig.settle()
    assert rig.transport.written.startswith(b"HTTP/1.1 404 ")
    assert rig.transport.ended
    await rig.leave()


TIMES = [
    (b"", "unused_s", b"", False),
    (b"\r\n", "receive_s", b"", False),
    (WHOLE, "keep_alive_s", ANSWER, False),
    (WHOLE + b"\r\n", "receive_s", ANSWER, False),
    (b"POST /pre", "receive_s", b"HTTP/1.1 408 ", True),
    (WHOLE[:-4], "receive_s", b"HTTP/1.1 408 ", True),
    (WHOLE + b"G", "receive_s", ANSWER + b"HTTP/1.1 408 ", True),
]


@pytest.mark.parametrize(("sent", "limit", "said", "told"), TIMES)
async def test_connection_on_which_no_request_is_complete_ends(
    sent: bytes, limit: str, said: bytes, *, told: bool
) -> None:
    rig = Rig(URL, **{limit: 0.05})
    rig.send(sent)
    async with asyncio.timeout(10):
        while not (rig.transport.closed or rig.transport.ended):  # noqa: ASYNC110  # nothing says so
            await asyncio.sleep(0.01)
    assert rig.transport.written.startswith(said)
    assert (b" 408 " in rig.transport.written) is told
    await rig.leave()


async def test_blank_lines_and_drops_of_a_head_gain_no_time() -> None:
    for drop in (b"\r\n", b"x"):
        rig = Rig(receive_s=0.1)
        rig.send(b"GET /" if drop == b"x" else b"")
        async with asyncio.timeout(10):
            while not (rig.transport.closed or rig.transport.ended):
                rig.send(drop)
                await asyncio.sleep(0.01)
        await rig.leave()


async def test_client_that_reads_no_answer_is_cut_off() -> None:
    rig = Rig(URL, receive_s=0.05)
    rig.send(WHOLE)
    rig.protocol.pause_writing()
    async with asyncio.timeout(10):
        while not rig.transport.closed:  # noqa: ASYNC110  # nothing says so
            await asyncio.sleep(0.01)
    await rig.leave()


async def test_client_that_reads_its_last_answer_late_and_does_not_close_is_cut_off() -> None:
    rig = Rig(URL, linger_s=0.05)
    rig.protocol.pause_writing()
    rig.send(WHOLE)
    rig.protocol.shutdown()
    assert rig.transport.ended
    rig.protocol.resume_writing()
    async with asyncio.timeout(10):
        while not rig.transport.closed:  # noqa: ASYNC110  # nothing says so
            await asyncio.sleep(0.01)
    await rig.leave()


async def test_client_that_goes_on_sending_after_a_refusal_is_cut_off() -> None:
    rig = Rig(linger_s=0.05)
    rig.send(b"?\r\n\r\n")
    assert rig.transport.ended
    async with asyncio.timeout(10):
        while not rig.transport.closed:
            rig.send(b"x" * 1000)
            await asyncio.sleep(0.01)
    assert rig.transport.written.count(b"HTTP/1.1 ") == 1
    await rig.leave()
