"""Checks that ask nothing but a gateway, against the transformer itself: right passes, wrong is found."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from e2e.checks.connections import _fill, _judge, _split, idle_connections_survive, nothing_hidden_is_answered
from e2e.checks.gateway_rules import paths
from e2e.gateway import Gateway
from e2e.stage import CheckError, Limits, Stage
from e2e.tokens import ISSUER, Issuer
from support.connection_cases import CASES
from support.predictor_double import PredictorDouble
from support.transformer_process import transformer

HOST = "sentiment.sentiment.example.com"
CASE = {case.name: case for case in CASES}


@pytest.fixture
async def stage(predictor: PredictorDouble, tmp_path: Path) -> AsyncIterator[Stage]:
    async with transformer(tmp_path, predictor_host=f"127.0.0.1:{predictor.port}") as running:
        nobody: Any = None
        yield Stage(
            cluster=nobody,
            gateway=Gateway(url=running.url, host=HOST),
            limits=Limits(idle_s=0.5),
            load=lambda _: 0,
            offered=(),
            at_rest={},
        )


async def test_the_server_itself_answers_nothing_hidden(stage: Stage) -> None:
    said = await asyncio.to_thread(nothing_hidden_is_answered, stage)
    assert said.startswith(f"{len(CASES)} cases: ")


async def test_open_pages_are_found(stage: Stage) -> None:
    # Without a gateway before it the transformer shows its metrics and its description to whoever asks.
    with pytest.raises(CheckError, match=r"GET /metrics for .* is 200"):
        await asyncio.to_thread(paths, stage)


async def test_connections_that_end_while_they_are_idle_are_found(stage: Stage) -> None:
    assert "answered again" in await asyncio.to_thread(idle_connections_survive, stage)


ANSWERS = {"the first text": b"1", "a second one": b"2", "and the third": b"3", "what hides in a body": b"h"}


@pytest.mark.parametrize(
    ("case", "said", "found"),
    [
        ("pipelined", [("200", b"1"), ("200", b"2"), ("200", b"3")], None),
        ("pipelined", [("200", b"1"), ("400", b"no")], None),
        ("pipelined", [("200", b"2"), ("200", b"1"), ("200", b"3")], "in the order"),
        ("pipelined", [("200", b"1"), ("200", b"1"), ("200", b"3")], "in the order"),
        ("body of another route", [("404", b"")], None),
        ("body of another route", [("404", b""), ("200", b"h")], "404"),
        ("upgrade that hides a request", [("200", b"h")], "what hides"),
        ("sized", [("500", b"")], "500"),
        ("two lengths", [("200", b"an answer to nobody")], "None"),
    ],
)
def test_a_connections_answers_are_judged_by_whose_they_are(
    case: str, said: list[tuple[str, bytes]], found: str | None
) -> None:
    sentence = _judge(CASE[case], _fill(CASE[case], HOST), said, ANSWERS)
    assert sentence is None if found is None else found in (sentence or "")


def test_every_case_goes_out_whole_and_under_the_services_name() -> None:
    for case in CASES:
        sent = _fill(case, HOST)
        assert b"%(" not in sent.data, case.name
        assert b"host: x\r\n" not in sent.data, case.name
        assert len(set(sent.texts)) == len(sent.texts)


def test_answers_in_chunks_are_read_like_others() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    sized = b"HTTP/1.1 404 Not Found\r\ncontent-length: 1\r\n\r\nx"
    assert _split(chunked + sized) == [("200", b"abcde"), ("404", b"x")]


def test_a_token_is_its_issuers() -> None:
    issuer = Issuer()
    program = issuer.server(port=8000)
    assert '"kty": "RSA"' in program
    assert issuer.token() != Issuer().token()
    assert ISSUER.startswith("https://")
