"""Every case of what clients send, on both servers by both ways, cut in two at every byte."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.both_servers import SERVERS, Site, site
from support.connection_cases import CASES, Case, agrees, cuts, expected, read_answers

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
LAST = b"POST %b HTTP/1.1\r\nhost: x\r\nx-request-id: last\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b"
_AT_A_TIME = 200


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SERVERS)
async def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(request.param, tmp_path_factory.mktemp(request.param)) as one:
        yield one


async def converse(port: int, pieces: list[bytes]) -> list[tuple[str, str]]:
    """Send pieces with a pause between them; give the answers up to the connection's end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for n, piece in enumerate(pieces):
            if n:
                await asyncio.sleep(0.05)
            writer.write(piece)
        return read_answers(await asyncio.wait_for(reader.read(), 30))
    finally:
        writer.close()


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "ASGI"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_answers_are_those_of_the_whole_wherever_it_is_cut(running: Site, case: Case, *, direct: bool) -> None:
    wanted, ends = expected(case.answers)
    conversations: list[list[bytes]] = []
    for n, at in enumerate([0, *cuts(running.target(direct=direct, miss="new 000000").fill(case.sent))]):
        target = running.target(direct=direct, miss=f"new {n:06}")
        sent = target.fill(case.sent)
        last = [] if ends else [LAST % (target.url, len(target.hit), target.hit)]
        conversations.append([piece for piece in (sent[:at], sent[at:], *last) if piece])
    for start in range(0, len(conversations), _AT_A_TIME):
        some = conversations[start : start + _AT_A_TIME]
        said = await asyncio.gather(*(converse(running.server.port, pieces) for pieces in some))
        for pieces, answers in zip(some, said, strict=True):
            assert agrees(answers, wanted if ends else [*wanted, ("200", "last")]), (pieces[0][-40:], answers)


async def test_none_of_it_was_an_error_of_the_server(running: Site) -> None:
    assert [line for line in running.server.output().splitlines() if '"error"' in line or "Traceback" in line] == []
