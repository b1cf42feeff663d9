"""The program that scores a file, against a real transformer."""

import asyncio
import csv
import json
import struct
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.predictor_double import PredictorDouble, prediction
from support.processes import REPO, Server
from support.transformer_process import transformer

PROGRAM = str(REPO / "examples" / "batch" / "score.py")


@pytest.fixture
async def service(predictor: PredictorDouble, tmp_path: Path) -> AsyncIterator[Server]:
    async with transformer(tmp_path, predictor_host=predictor.host) as process:
        yield process


async def score(service: Server, texts: Path, scores: Path, *more: str) -> tuple[int, str]:
    """Run it; give its exit status and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, PROGRAM, str(texts), str(scores), f"--url={service.url}", *more, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    return process.returncode or 0, said.decode()


def rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def best(text: str) -> tuple[str, float]:
    top = prediction(text, "v1")[0]
    return top["label"], struct.unpack("<f", struct.pack("<f", top["score"]))[0]


async def test_every_text_has_its_row_in_order_and_a_blank_one_an_empty_one(service: Server, tmp_path: Path) -> None:
    texts = [f"text {n}" if n != 100 else "  " for n in range(300)]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n")
    status, said = await score(service, tmp_path / "texts.txt", tmp_path / "scores.csv")
    assert status == 0, said
    heading, *found = rows(tmp_path / "scores.csv")
    assert heading == ["line", "label", "score"]
    assert [row[0] for row in found] == [str(n) for n in range(1, 301)]
    assert found.pop(100) == ["101", "", ""]
    for (_, label, its_score), text in zip(found, [text for text in texts if text.strip()], strict=True):
        assert label == best(text)[0]
        assert float(its_score) == pytest.approx(best(text)[1])
    assert "300 texts are in" in said


async def test_column_of_a_csv_is_read_and_a_missing_one_is_named(service: Server, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text('id,body\n1,"good, very"\n2,"two\nlines"\n')
    assert (await score(service, tmp_path / "reviews.csv", tmp_path / "scores.csv", "--column=body"))[0] == 0
    assert len(rows(tmp_path / "scores.csv")) == 3
    status, said = await score(service, tmp_path / "reviews.csv", tmp_path / "other.csv")
    assert (status, "has no column text: name one of id, body" in said) == (1, True)


async def test_second_run_goes_on_where_the_first_was_torn_off(service: Server, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("".join(f"text {n}\n" for n in range(200)))
    assert (await score(service, tmp_path / "texts.txt", tmp_path / "whole.csv"))[0] == 0
    whole = (tmp_path / "whole.csv").read_text()
    # As a killed run leaves it: 150 rows and a piece of the next.
    lines = whole.splitlines(keepends=True)
    (tmp_path / "scores.csv").write_text("".join(lines[:151]) + lines[151][:7])
    status, said = await score(service, tmp_path / "texts.txt", tmp_path / "scores.csv")
    assert (status, "150 of them from an earlier run" in said) == (0, True)
    assert (tmp_path / "scores.csv").read_text() == whole


async def test_service_that_is_away_for_a_while_costs_nothing(
    service: Server, predictor: PredictorDouble, tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("".join(f"text {n}\n" for n in range(100)))
    await predictor.stop()
    running = asyncio.create_task(score(service, tmp_path / "texts.txt", tmp_path / "scores.csv"))
    await asyncio.sleep(1.5)
    assert not running.done()
    await predictor.start()
    status, said = await running
    assert status == 0, said
    assert len(rows(tmp_path / "scores.csv")) == 101


async def test_it_gives_up_with_a_sentence_after_its_retries(
    service: Server, predictor: PredictorDouble, tmp_path: Path
) -> None:
    (tmp_path / "texts.txt").write_text("a\n")
    await predictor.stop()
    status, said = await score(service, tmp_path / "texts.txt", tmp_path / "scores.csv", "--retries=0")
    assert status == 1
    assert "no answer after 1 tries: 503" in said
    assert "0 texts are done, run it again to go on" in said


async def test_refusal_is_not_tried_again(service: Server, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("a\n")
    nowhere = Server(process=service.process, port=service.port, log=service.log)
    nowhere.url += "/nowhere"
    status, said = await score(nowhere, tmp_path / "texts.txt", tmp_path / "scores.csv")
    assert (status, "the service refuses: 404" in said) == (1, True)


def test_texts_are_as_many_as_the_service_takes() -> None:
    from transformer.settings import Settings  # noqa: PLC0415 - only this test reads the code

    source = Path(PROGRAM).read_text()
    assert f"LONGEST_TEXT_CHARS = {Settings().max_text_chars:_}" in source
    assert json.loads(source.partition("TEXTS_A_REQUEST = ")[2].splitlines()[0]) <= Settings().max_texts
