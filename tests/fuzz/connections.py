"""What is fuzzed of the HTTP protocol: as many answers as whole requests, in order, each for its own request."""

import asyncio
import itertools
from collections.abc import Iterator

import h11
from support.connection_cases import INNER, read_answers
from support.echo import TARGET, Echo
from support.protocol_rig import Rig

_LENGTH = 400
_UPGRADES = (
    b"",
    b"connection: upgrade\r\nupgrade: h2c\r\n",
    b"connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n",
)
_BODIES = (TARGET.hit, TARGET.miss, TARGET.fill(INNER), b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"0\r\n\r\n", b"\r\n\r\n")
_EXTENSIONS = (b"", b";a", b';a="b;c"')
_TRAILERS = (b"", b"x-request-id: t\r\n", b"content-length: 7\r\ntransfer-encoding: chunked\r\n")


def _chosen(data: bytes) -> Iterator[int]:
    return itertools.chain(data, itertools.repeat(0))


def _request(number: int, choices: Iterator[int]) -> tuple[bytes, tuple[str, str]]:
    """Make a request out of choices; give it and what must be answered."""
    hot = next(choices) % 4 > 0
    body = _BODIES[next(choices) % len(_BODIES)]
    upgrade = _UPGRADES[next(choices) % len(_UPGRADES)]
    head = b"POST %b HTTP/1.1\r\nhost: x\r\nx-request-id: %d\r\n" % (TARGET.url if hot else b"/nowhere", number)
    blank = b"\r\n" * (next(choices) % 3)
    status = "404" if not hot else "200" if body in (TARGET.hit, TARGET.miss) else "422"
    if next(choices) % 2:
        framed = b"content-length: %d\r\n\r\n%b" % (len(body), body)
    else:
        at = next(choices) % len(body)
        extension = _EXTENSIONS[next(choices) % len(_EXTENSIONS)]
        chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in (body[:at], body[at:]) if part)
        trailers = _TRAILERS[next(choices) % len(_TRAILERS)]
        framed = b"transfer-encoding: chunked\r\n\r\n%b0\r\n%b\r\n" % (chunks, trailers)
    return blank + head + upgrade + framed, (status, str(number))


async def _converse(sent: bytes, cuts: list[int], *, direct: bool) -> tuple[Rig, Echo]:
    echo = Echo(direct=direct)
    rig = Rig(app=echo, answers=echo)
    for start, end in itertools.pairwise([0, *sorted({cut for cut in cuts if cut < len(sent)}), len(sent)]):
        rig.send(sent[start:end])
        assert len(rig.protocol._incoming._unread) <= len(sent)
        await rig.settle()
    for _ in range(8):
        await rig.settle()
    await rig.leave()
    assert not rig.state.tasks
    return rig, echo


def http_requests(data: bytes) -> None:
    """Requests of every kind on one connection, cut anywhere, and then anything at all."""
    choices = _chosen(data)
    made = [_request(number, choices) for number in range(1 + next(choices) % 5)]
    wanted = [answer for _, answer in made]
    sent = b"".join(request for request, _ in made)
    cuts = [next(choices) * 256 + next(choices) for _ in range(next(choices) % 6)]
    cuts = [cut % (len(sent) + 1) for cut in cuts]
    rest = data[_LENGTH:]
    for direct in (True, False):
        rig, _ = asyncio.run(_converse(sent + rest, cuts, direct=direct))
        said = read_answers(rig.transport.written)
        assert said[: len(wanted)] == wanted, (said, wanted)
        assert len(said) - len(wanted) <= 1 + rest.count(b"HTTP/1."), said


def http_bytes(data: bytes) -> None:
    """Anything at all: what is taken for a request, another parser takes for the same request."""
    seen = _seen_by_h11(data)
    for direct, cuts in ((True, []), (False, []), (True, [len(data) // 2]), (False, list(range(0, len(data), 9)))):
        _, echo = asyncio.run(_converse(data, cuts, direct=direct))
        assert echo.asked == seen[: len(echo.asked)], (echo.asked, seen)


def _seen_by_h11(data: bytes) -> list[tuple[bytes, bytes]]:
    """Give the ids and bodies of the requests that h11 finds."""
    seen: list[tuple[bytes, bytes]] = []
    while data:
        while data.startswith(b"\r\n"):  # which h11 does not pass over
            data = data[2:]
        server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        server.receive_data(data)
        its, body = b"", b""
        try:
            while not isinstance(event := server.next_event(), h11.EndOfMessage):
                if isinstance(event, h11.Request):
                    ids = [value for name, value in event.headers if name == b"x-request-id"]
                    its = ids[0] if len(ids) == 1 and len(ids[0]) < 128 and ids[0].isascii() else b"made"
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
                else:
                    return seen
        except h11.ProtocolError:
            return seen
        seen.append((its, body))
        data = server.trailing_data[0]
    return seen


SEEDS = {
    "http_requests": [b"", bytes(range(60)), b"\xff" * 40, b"\x04" + bytes(range(255, 100, -1))],
    "http_bytes": [
        TARGET.fill(INNER),
        TARGET.fill(INNER + INNER.replace(b"x-request-id", b"connection: upgrade\r\nupgrade: h2c\r\nx-request-id")),
        b"\r\nGET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;a\r\n{\r\n0\r\na: b\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
    ],
}
