"""What clients send on one connection, and what must come back: one case a line.

``%(target)b`` is a hot route; ``HIT`` and ``MISS`` end a head and bring a body that is answered from memory and one
that is not. The expected answers are statuses in order, each with the request's id; ``|`` says that the connection ends
after them. Where it does not end, one more request is asked on it, and answered.
"""

from typing import NamedTuple

POST = b"POST %(target)b HTTP/1.1\r\nhost: x\r\n"
NOWHERE = b"POST /nowhere HTTP/1.1\r\nhost: x\r\n"
GET = b"GET /nowhere HTTP/1.1\r\nhost: x\r\n"
HIT = b"content-length: %(hit_length)d\r\n\r\n%(hit)b"
MISS = b"content-length: %(miss_length)d\r\n\r\n%(miss)b"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
WHOLE = b"%(hit_length)x\r\n%(hit)b\r\n0\r\n\r\n"
CHUNKS = CHUNKED + WHOLE[:-2]  # trailers may follow
TWO_LENGTHS = b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcde"
A, B, C = b"x-request-id: a\r\n", b"x-request-id: b\r\n", b"x-request-id: c\r\n"
UPGRADE = b"connection: upgrade\r\nupgrade: h2c\r\n"
INNER = POST + b"x-request-id: inner\r\n" + HIT
"""A whole request, for hiding in bodies."""


class Case(NamedTuple):
    """A case; ``name`` is a test's id."""

    name: str
    sent: bytes
    answers: str


def _hiding(head: bytes) -> bytes:
    """Give a request whose body is a request."""
    return head + b"content-length: %(inner_length)d\r\n\r\n" + INNER


CASES = [
    # One request after another.
    Case("sized", POST + A + HIT, "200 a"),
    Case("miss", POST + A + MISS, "200 a"),
    Case("chunked", POST + A + CHUNKED + WHOLE, "200 a"),
    Case("no body", GET + A + b"\r\n", "404 a"),
    Case("absolute target", b"POST http://x%(target)b HTTP/1.1\r\nhost: x\r\n" + A + HIT, "200 a"),
    Case("pipelined", POST + A + HIT + POST + B + MISS + POST + C + HIT, "200 a, 200 b, 200 c"),
    Case("pipelined chunked", (POST + A + CHUNKED + WHOLE) + (POST + B + CHUNKED + WHOLE), "200 a, 200 b"),
    Case("blank lines before", b"\r\n\r\n" + POST + A + HIT + b"\r\n" + POST + B + HIT, "200 a, 200 b"),
    Case("the last one says so", POST + A + b"connection: close\r\n" + HIT, "200 a |"),
    Case("nothing after the last", POST + A + b"connection: close\r\n" + HIT + POST + B + HIT, "200 a |"),
    Case("1.0", b"POST %(target)b HTTP/1.0\r\n" + A + HIT, "200 a |"),
    Case("1.0 kept alive", b"POST %(target)b HTTP/1.0\r\nconnection: keep-alive\r\n" + A + HIT, "200 a |"),
    Case("body of another route", _hiding(NOWHERE + A), "404 a"),
    # A request that asks for another protocol is a request like any other (RFC 9110, 7.8).
    Case("upgrade to h2c", POST + A + UPGRADE + HIT, "200 a"),
    Case("upgrade to websocket", POST + A + UPGRADE.replace(b"h2c", b"websocket") + HIT, "200 a"),
    Case("upgrade to foo", POST + A + UPGRADE.replace(b"h2c", b"foo") + HIT, "200 a"),
    Case("upgrade, miss", POST + A + UPGRADE + MISS, "200 a"),
    Case("upgrade, chunked", POST + A + UPGRADE + CHUNKED + WHOLE, "200 a"),
    Case("upgrade without a body", GET + A + UPGRADE + b"\r\n" + POST + B + HIT, "404 a, 200 b"),
    Case("upgrade that hides a request", _hiding(POST + A + UPGRADE), "refused a"),
    Case("upgrade that hides one on another route", _hiding(NOWHERE + A + UPGRADE), "404 a"),
    Case("upgrade, pipelined", POST + A + UPGRADE + HIT + POST + B + HIT, "200 a, 200 b"),
    Case("HTTP/2 settings", POST + A + UPGRADE + b"http2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n" + HIT, "200 a"),
    Case("CONNECT", b"CONNECT x:80 HTTP/1.1\r\nhost: x:80\r\n\r\n" + POST + A + HIT, "501 |"),
    # Chunks, extensions and trailers.
    Case("many chunks", POST + A + CHUNKED + b"1\r\n{\r\n%(rest_length)x\r\n%(rest)b\r\n0\r\n\r\n", "200 a"),
    Case("chunk extension", POST + A + CHUNKED + WHOLE.replace(b"x\r\n%(hit)", b'x;a="b"\r\n%(hit)'), "200 a"),
    Case("trailers are dropped", POST + A + CHUNKS + b"x-request-id: t\r\n\r\n", "200 a"),
    Case("trailer is no id", POST + CHUNKS + b"x-request-id: t\r\n\r\n", "200 ?"),
    Case("trailer is no deadline", POST + A + CHUNKS + b"x-request-timeout-ms: 0\r\n\r\n", "200 a"),
    Case("trailer is no length", POST + A + CHUNKS + b"content-length: 9\r\n\r\n" + POST + B + HIT, "200 a, 200 b"),
    Case("129 trailers", POST + A + CHUNKS + b"a: b\r\n" * 129 + b"\r\n", "431 |"),
    Case("large trailer", POST + A + CHUNKS + b"a: " + b"b" * 66_000 + b"\r\n\r\n", "431 |"),
    Case("large chunk extension", POST + A + CHUNKED + b"1;" + b"b" * 66_000 + b"\r\n{\r\n", "431 |"),
    Case("trailer that is none", POST + A + CHUNKS + b"a\r\n\r\n", "400 |"),
    Case("bare line feed in an extension", POST + A + CHUNKED + b"1;a\nb\r\n{\r\n0\r\n\r\n", "400 |"),
    Case("bare line feed after a size", POST + A + CHUNKED + b"1\n{\r\n0\r\n\r\n", "400 |"),
    Case("chunk that is too long", POST + A + CHUNKED + b"1\r\n{}\r\n0\r\n\r\n", "400 |"),
    Case("size of letters", POST + A + CHUNKED + b"zz\r\n", "400 |"),
    Case("size with a sign", POST + A + CHUNKED + b"+1\r\n{\r\n0\r\n\r\n", "400 |"),
    Case("size in hexadecimal notation", POST + A + CHUNKED + b"0x1\r\n{\r\n0\r\n\r\n", "400 |"),
    Case("size of sixteen digits", POST + A + CHUNKED + b"0000000000000001\r\n{\r\n0\r\n\r\n", "400 |"),
    # Two ways to say where a body ends.
    Case("length and chunks", POST + A + b"content-length: 5\r\n" + CHUNKED + b"0\r\n\r\n", "400 |"),
    Case("chunks and length", POST + A + CHUNKED[:-2] + b"content-length: 5\r\n\r\n0\r\n\r\n", "400 |"),
    Case("two lengths", POST + A + TWO_LENGTHS, "400 |"),
    Case("two lengths alike", POST + A + b"content-length: 5\r\ncontent-length: 5\r\n\r\nabcde", "400 |"),
    Case("list of lengths", POST + A + b"content-length: 5, 5\r\n\r\nabcde", "400 |"),
    Case("negative length", POST + A + b"content-length: -1\r\n\r\n", "400 |"),
    Case("length with a sign", POST + A + b"content-length: +5\r\n\r\nabcde", "400 |"),
    Case("endless length", POST + A + b"content-length: " + b"9" * 5_000 + b"\r\n\r\n", "400 |"),
    Case("another coding", POST + A + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501 |"),
    Case("coding that is none", POST + A + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", "400 |"),
    Case("coding twice", POST + A + b"transfer-encoding: chunked\r\n" + CHUNKED + b"0\r\n\r\n", "400 |"),
    Case("coding in 1.0", b"POST %(target)b HTTP/1.0\r\n" + A + CHUNKED + WHOLE, "400 |"),
    # Heads.
    Case("no host", b"POST %(target)b HTTP/1.1\r\n" + A + HIT, "400 |"),
    Case("two hosts", POST + b"host: y\r\n" + A + HIT, "400 |"),
    Case("HTTP/0.9", b"POST %(target)b HTTP/0.9\r\nhost: x\r\n" + HIT, "505 |"),
    Case("HTTP/2.0", b"POST %(target)b HTTP/2.0\r\nhost: x\r\n" + HIT, "505 |"),
    Case("HTTP/1.2", b"POST %(target)b HTTP/1.2\r\nhost: x\r\n" + HIT, "505 |"),
    Case("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 |"),
    Case("no version", b"GET /\r\nhost: x\r\n\r\n", "400 |"),
    Case("another protocol", b"GET / RTSP/1.0\r\nhost: x\r\n\r\n", "400 |"),
    Case("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", "400 |"),
    Case("unknown method", b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n", "501 |"),
    Case("bare line feeds", b"GET / HTTP/1.1\nhost: x\n\n\r\n\r\n", "400 |"),
    Case("bare carriage return", POST + b"a: b\rc: d\r\n" + A + HIT, "400 |"),
    Case("NUL", POST + b"a: \x00\r\n" + A + HIT, "400 |"),
    Case("space before a colon", POST + b"content-length : 5\r\n\r\nabcde", "400 |"),
    Case("folded header", POST + b"a: b\r\n c\r\n" + A + HIT, "400 |"),
    Case("header without a name", POST + b": b\r\n" + A + HIT, "400 |"),
    Case("two spaces", b"GET  / HTTP/1.1\r\nhost: x\r\n\r\n", "400 |"),
    Case("bytes in the target", b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n", "400 |"),
    Case("fragment in the target", b"GET /#a HTTP/1.1\r\nhost: x\r\n\r\n", "400 |"),
    Case("target without a path", b"GET * HTTP/1.1\r\nhost: x\r\n\r\n", "400 |"),
    Case("129 headers", POST + b"a: b\r\n" * 127 + A + b"\r\n", "431 |"),
    Case("large header", POST + b"a: " + b"b" * 66_000 + b"\r\n" + A + HIT, "431 |"),
    Case("large target", b"GET /" + b"b" * 66_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", "431 |"),
    Case("blank lines without end", b"\r\n" * 33_000 + POST + A + HIT, "431 |"),
    # Request ids: the client's own where a log and a header can bear it.
    Case("long id", POST + b"x-request-id: " + b"i" * 20_000 + b"\r\n" + HIT, "200 ?"),
    Case("id of raw bytes", POST + b"x-request-id: \xe9\xff\r\n" + HIT, "200 ?"),
    Case("two ids", POST + A + B + HIT, "200 ?"),
    # What was asked first is answered before what follows is refused.
    Case("miss, then garbage", POST + A + MISS + b"?\r\n\r\n", "200 a, 400 |"),
    Case("miss, then bytes", POST + A + MISS + b"\x00\x01\r\n\r\n", "200 a, 400 |"),
    Case("two misses, then garbage", POST + A + MISS + POST + B + MISS + b"?\r\n\r\n", "200 a, 200 b, 400 |"),
    Case("hit, then garbage", POST + A + HIT + b"?\r\n\r\n", "200 a, 400 |"),
    Case("miss, then two lengths", POST + A + MISS + POST + TWO_LENGTHS, "200 a, 400 |"),
]  # fmt: skip


class Target(NamedTuple):
    """A server's hot route and bodies for it.

    Attributes:
        url: the request target.
        hit: a body that is answered from memory, where there is one; it begins with ``{``.
        miss: one that is not.
    """

    url: bytes
    hit: bytes
    miss: bytes

    def fill(self, template: bytes) -> bytes:
        """Give what is sent to this target."""
        values: dict[bytes, object] = {
            b"target": self.url, b"hit": self.hit, b"hit_length": len(self.hit),
            b"miss": self.miss, b"miss_length": len(self.miss),
            b"rest": self.hit[1:], b"rest_length": len(self.hit) - 1,
        }  # fmt: skip
        values[b"inner_length"] = len(INNER % values)
        return template % values


def expected(answers: str) -> tuple[list[tuple[str, str]], bool]:
    """Give the statuses and ids of a case's answers, and whether the connection ends after them."""
    listed = [answer.split() for answer in answers.replace("|", "").split(",") if answer.strip()]
    return [(answer[0], answer[1] if len(answer) > 1 else "") for answer in listed], "|" in answers


def read_answers(said: bytes) -> list[tuple[str, str]]:
    """Give the statuses and ids of the answers on a connection, all of which state their length."""
    answers = []
    while said:
        head, _, said = said.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").lower().split("\r\n")
        headers = [line.split(": ", 1) for line in lines]
        ids = [value for name, value in headers if name == "x-request-id"]
        lengths = [int(value) for name, value in headers if name == "content-length"]
        assert first.startswith("http/1.1 "), first
        assert len(ids) <= 1, ids
        status = first.split()[1]
        if status == "100":
            continue
        assert len(lengths) == 1, head
        assert len(said) >= lengths[0]
        said = said[lengths[0] :]
        answers.append((status, "".join(ids)))
    return answers


def agrees(said: list[tuple[str, str]], wanted: list[tuple[str, str]]) -> bool:
    """Tell whether answers are those wanted: ``?`` is an id made by the server, ``refused`` any 4xx."""
    return len(said) == len(wanted) and all(
        (status == want or (want == "refused" and status.startswith("4")))
        and (id_ == want_id or (want_id == "?" and id_ not in ("", "a", "b", "t")) or not want_id)
        for (status, id_), (want, want_id) in zip(said, wanted, strict=True)
    )


def cuts(sent: bytes) -> list[int]:
    """Give every place where ``sent`` can be cut in two; inside long runs of one byte only some."""
    size = len(sent)
    return [at for at in range(1, size) if size < 1_000 or at < 100 or size - at < 50 or at % 16_384 > 16_382]
