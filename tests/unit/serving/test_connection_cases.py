"""Every case of what clients send, cut in two at every byte and byte by byte, by both ways."""

import pytest
from support.connection_cases import CASES, Case, agrees, cuts, expected, read_answers
from support.echo import TARGET, Echo
from support.protocol_rig import Rig

_LAST = b"POST /predict HTTP/1.1\r\nhost: x\r\nx-request-id: last\r\ncontent-length: %d\r\n\r\n%b"


async def converse(pieces: list[bytes], *, direct: bool) -> Rig:
    """Send pieces, with time to answer between them."""
    echo = Echo(direct=direct)
    rig = Rig(app=echo, answers=echo)
    for piece in pieces:
        rig.send(piece)
        await rig.settle()
    for _ in range(3):
        await rig.settle()
    return rig


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "ASGI"])
@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_answers_are_those_of_the_whole_wherever_it_is_cut(case: Case, *, direct: bool) -> None:
    sent = TARGET.fill(case.sent)
    wanted, ends = expected(case.answers)
    ways = [[sent[:at], sent[at:]] for at in cuts(sent)]
    if len(sent) < 1_000:
        ways.append([bytes([byte]) for byte in sent])
    for pieces in [[sent], *ways]:
        rig = await converse(pieces if ends else [*pieces, _LAST % (len(TARGET.hit), TARGET.hit)], direct=direct)
        said = read_answers(rig.transport.written)
        assert agrees(said, wanted if ends else [*wanted, ("200", "last")]), (len(pieces[0]), said)
        assert (rig.transport.closed or rig.transport.ended) is ends, len(pieces[0])
        await rig.leave()
        assert rig.state.tasks == set()
