"""What shares a connection with a request through every hop: nothing hidden is answered, nothing is lost by idling."""

import contextlib
import json
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from e2e.gateway import Gateway, ask_on
from e2e.stage import CheckError, Stage, none_fails
from support.connection_cases import CASES, INNER, Case, expected

_IDLE_CONNECTIONS = 24
_QUIET_S = 1.0
# What stands for a body in a case: a sized one, a chunk, all of a chunk but its first byte.
_BODY = re.compile(
    rb"content-length: %\((?:hit|miss)_length\)d\r\n\r\n%\((?:hit|miss)\)b"
    rb"|%\(hit_length\)x(?P<extension>[^%]*)%\(hit\)b"
    rb"|%\(rest_length\)x\r\n%\(rest\)b"
)


class Sent(NamedTuple):
    """A case as it goes out: every body in it asks a text of its own, so that an answer tells whose it is."""

    data: bytes
    texts: list[str]
    hidden: str


def nothing_hidden_is_answered(stage: Stage) -> str:
    """Broken HTTP through gateway and queue-proxy: answers in order, none for what hides, and no harm to others."""
    gateway = stage.gateway
    answers = _answers(gateway)
    wrong: list[str] = []
    served = refused = 0

    def ask(case: Case) -> list[tuple[str, bytes]]:
        return _exchange(gateway, _fill(case, gateway.host).data)

    with none_fails(gateway, per_s=100) as others, ThreadPoolExecutor(8) as several:
        for case, said in zip(CASES, several.map(ask, CASES), strict=True):
            sentence = _judge(case, _fill(case, gateway.host), said, answers)
            if sentence:
                wrong.append(f"{case.name}: {sentence}")
            served += sum(status == "200" for status, _ in said)
            refused += sum(status != "200" for status, _ in said)
    if gateway.post(["after all of it"]).status != 200:
        wrong.append("the service does not answer any more")
    if wrong:
        raise CheckError("; ".join(wrong))
    words = f"{len(CASES)} cases: {served} answers, {refused} refusals, in order, none for a hidden request"
    return f"{words}; of {others.asked} requests of others none failed"


def _judge(case: Case, sent: Sent, said: Sequence[tuple[str, bytes]], answers: dict[str, bytes]) -> str | None:
    # A gateway refuses some of what the service takes, and mends some of what it refuses: what counts is that there
    # are no more answers than requests, and whose they are.
    wanted, _ = expected(case.answers)
    statuses = [status for status, _ in said]
    if len(said) > len(wanted) or "500" in statuses:
        return f"{statuses} for {case.answers}"
    whose = {body: text for text, body in answers.items()}
    order = []
    for status, body in said:
        text = whose.get(body)
        if status != "200" or (text is None and sent.data.startswith(b"GET ")):
            continue
        if text not in sent.texts:
            return f"{statuses} for {case.answers}, one of them for {text!r}"
        order.append(sent.texts.index(text))
    if order != sorted(set(order)):
        return f"answers in the order {order}"
    return None


def _fill(case: Case, host: str) -> Sent:
    texts: list[str] = []
    hidden = b'{"text": ["%b"]}' % _HIDDEN.encode()

    def body(found: re.Match[bytes]) -> bytes:
        texts.append(_TEXTS[len(texts)])
        content = _content(texts[-1])
        if found[0].startswith(b"content"):
            return b"content-length: %d\r\n\r\n%b" % (len(content), content)
        if found[0].startswith(b"%(rest"):
            return b"%x\r\n%b" % (len(content) - 1, content[1:])
        return b"%x%b%b" % (len(content), found["extension"], content)

    inner = INNER.replace(b"%(hit_length)d", b"%d" % len(hidden)).replace(b"%(hit)b", hidden)
    data = _BODY.sub(body, case.sent.replace(INNER, b"<inner>"))
    inner = inner.replace(b"%(target)b", b"/predict").replace(b"host: x\r\n", b"host: %b\r\n" % host.encode())
    data = data.replace(b"%(inner_length)d", b"%d" % len(inner)).replace(b"<inner>", inner)
    data = data.replace(b"http://x%(target)b", b"http://%b/predict" % host.encode()).replace(b"%(target)b", b"/predict")
    return Sent(data.replace(b"host: x\r\n", b"host: %b\r\n" % host.encode()), texts, _HIDDEN)


_TEXTS = ("the first text", "a second one", "and the third")
_HIDDEN = "what hides in a body"


def _content(text: str) -> bytes:
    return json.dumps({"text": [text]}).encode()


def _answers(gateway: Gateway) -> dict[str, bytes]:
    found = {}
    for text in (*_TEXTS, _HIDDEN):
        reply = gateway.post([text])
        if reply.status != 200:
            raise CheckError(f"a plain request got {reply.status}")
        found[text] = reply.body
    if len(set(found.values())) != len(found):
        raise CheckError("two texts have one answer: nothing tells them apart")
    return found


def _exchange(gateway: Gateway, data: bytes) -> list[tuple[str, bytes]]:
    """Send bytes, and whatever comes back until the other side has been quiet for a while."""
    connection = gateway.connection()
    connection.connect()
    said = b""
    with contextlib.suppress(OSError):  # refused before its end
        connection.sock.sendall(data)
    connection.sock.settimeout(_QUIET_S)
    with contextlib.suppress(OSError):  # kept open, or reset
        while some := connection.sock.recv(65_536):
            said += some
    connection.close()
    return _split(said)


def _split(said: bytes) -> list[tuple[str, bytes]]:
    found = []
    # What is no HTTP/1 answers HTTP/2, to whom its preface was sent.
    while said.startswith(b"HTTP/1."):
        head, _, said = said.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").lower().split("\r\n")
        headers = dict(line.partition(": ")[::2] for line in lines[1:])
        status = lines[0].split()[1]
        if status == "100":
            continue
        if headers.get("transfer-encoding") == "chunked":
            body, said = _chunked(said)
        else:
            length = int(headers.get("content-length", len(said)))
            body, said = said[:length], said[length:]
        found.append((status, body))
    return found


def _chunked(said: bytes) -> tuple[bytes, bytes]:
    body = b""
    while True:
        size, _, said = said.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length:
            return body, said.partition(b"\r\n")[2]
        body, said = body + said[:length], said[length + 2 :]


def idle_connections_survive(stage: Stage) -> str:
    """Connections that were idle for a minute and more are used again, and no request on them fails."""
    gateway = stage.gateway
    connections = [gateway.connection() for _ in range(_IDLE_CONNECTIONS)]

    def ask(number: int) -> int:
        body = json.dumps({"text": [f"idle {number} {time.time_ns()}"]})
        return ask_on(connections[number], "POST", "/predict", body, {"host": gateway.host}).status

    try:
        with ThreadPoolExecutor(_IDLE_CONNECTIONS) as crowd:
            before = list(crowd.map(ask, range(_IDLE_CONNECTIONS)))
            sockets = [connection.sock for connection in connections]
            time.sleep(stage.limits.idle_s)
            after = list(crowd.map(ask, range(_IDLE_CONNECTIONS)))
        # http.client opens a new one where the other side asked for it.
        kept = sum(old is connection.sock for old, connection in zip(sockets, connections, strict=True))
    finally:
        for connection in connections:
            connection.close()
    if set(before) != {200} or set(after) != {200} or kept != _IDLE_CONNECTIONS:
        raise CheckError(f"{before} before {stage.limits.idle_s:g} s, {after} after, {kept} connections kept")
    return f"{_IDLE_CONNECTIONS} connections answered again after {stage.limits.idle_s:g} s"
