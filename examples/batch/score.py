"""Scores a file of texts through the service, with progress and retries; run again, it resumes.

    python examples/batch/score.py reviews.txt scores.csv --url http://localhost:8080
    python examples/batch/score.py reviews.csv scores.csv --column body

The input has a text in each line, or in a column of a CSV file. The output has a row for each of them, in order: its
number, label and score; both are empty for a blank text. Needs nothing but Python.
"""

import argparse
import csv
import itertools
import json
import sys
import time
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

TEXTS_A_REQUEST = 64
LONGEST_TEXT_CHARS = 10_000  # the service takes no longer ones; the model reads their first few hundred words anyway
_TIMEOUT_S = 60
_LONGEST_PAUSE_S = 30.0
_PASSING = {408, 429, 500, 502, 503, 504}
Row = tuple[int, str, str]


class GivenUpError(Exception):
    """The service gave no answer, or refused."""


def texts_of(path: Path, column: str) -> Iterator[str]:
    """Give the texts of a file; raises GivenUpError where a CSV file lacks the column."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix.lower() != ".csv":
            yield from (line.rstrip("\r\n") for line in file)
            return
        reader = csv.DictReader(file)
        if column not in (reader.fieldnames or ()):
            raise GivenUpError(f"{path} has no column {column}: name one of {', '.join(reader.fieldnames or ())}")
        yield from (row[column] or "" for row in reader)


def finished_rows(path: Path) -> int:
    """Count the rows an earlier run has written whole; what it was writing when it ended is cut off."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        path.write_bytes(whole)
    return max(0, whole.count(b"\n") - 1)


def ask(url: str, headers: dict[str, str], texts: list[str], retries: int) -> list[tuple[str, str]]:
    """Get label and score of every text; raises GivenUpError when the service refuses, or does not answer in time."""
    body = json.dumps({"text": texts}).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json", **headers})
    for attempt in itertools.count(1):
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
                best = [labels[0] for labels in json.load(answer)["predictions"]]
            return [(each["label"], f"{each['score']:.6g}") for each in best]
        except urllib.error.HTTPError as error:
            said, pause_s = f"{error.code} {error.read(500).decode(errors='replace')}", error.headers["retry-after"]
            if error.code not in _PASSING:
                raise GivenUpError(f"the service refuses: {said}") from None
        except (OSError, ValueError) as error:
            said, pause_s = str(error), None
        if attempt > retries:
            raise GivenUpError(f"no answer after {attempt} tries: {said}")
        time.sleep(min(float(pause_s) if pause_s else 0.25 * 2**attempt, _LONGEST_PAUSE_S))
    raise AssertionError


def score(url: str, headers: dict[str, str], retries: int, batch: list[tuple[int, str]]) -> list[Row]:
    """Give the rows of a batch; blank texts are not sent."""
    real = [(number, text) for number, text in batch if text.strip()]
    answers = ask(url, headers, [text[:LONGEST_TEXT_CHARS] for _, text in real], retries) if real else []
    found = {number: answer for (number, _), answer in zip(real, answers, strict=True)}
    return [(number, *found.get(number, ("", ""))) for number, _ in batch]


def batches_of(texts: Iterable[str], done: int) -> Iterator[list[tuple[int, str]]]:
    """Give numbered texts, those that are done left out, in batches of one request each."""
    numbered = itertools.islice(enumerate(texts, 1), done, None)
    while batch := list(itertools.islice(numbered, TEXTS_A_REQUEST)):
        yield batch


def in_order(
    batches: Iterable[list[tuple[int, str]]], score_one: Callable[[list[tuple[int, str]]], list[Row]], parallel: int
) -> Iterator[list[Row]]:
    """Score batches side by side; give their rows in order."""
    with ThreadPoolExecutor(parallel) as pool:
        waiting: deque[Future[list[Row]]] = deque()
        for batch in batches:
            waiting.append(pool.submit(score_one, batch))
            if len(waiting) >= 2 * parallel:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def main() -> int:
    """Parse the command line and run; 1 where it had to give up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path)
    parser.add_argument("scores", type=Path, help="CSV; run again with the same to go on")
    parser.add_argument("--url", default="http://localhost:8080", help="the service's address")
    parser.add_argument("--column", default="text", help="of a .csv file")
    parser.add_argument("--header", action="append", default=[], metavar="NAME:VALUE", help="a key, a token, a host")
    parser.add_argument("--parallel", type=int, default=4, help="requests at a time")
    parser.add_argument("--retries", type=int, default=8, help="of a request, with longer and longer pauses")
    chosen = parser.parse_args()
    headers = {name.strip(): value.strip() for name, _, value in (each.partition(":") for each in chosen.header)}
    done = finished_rows(chosen.scores)
    began_s, first, said_s = time.monotonic(), done, 0.0
    try:
        batches = batches_of(texts_of(chosen.texts, chosen.column), done)
        with chosen.scores.open("a", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            if not file.tell():
                rows.writerow(("line", "label", "score"))
            score_one = partial(score, f"{chosen.url}/predict", headers, chosen.retries)
            for scored in in_order(batches, score_one, chosen.parallel):
                rows.writerows(scored)
                file.flush()
                done += len(scored)
                if time.monotonic() - said_s > 1:
                    said_s = time.monotonic()
                    print(f"{done} texts, {(done - first) / (said_s - began_s):.0f} a second", file=sys.stderr)
    except (GivenUpError, OSError) as error:
        print(f"score: {error}; {done} texts are done, run it again to go on", file=sys.stderr)
        return 1
    print(f"{done} texts are in {chosen.scores}, {first} of them from an earlier run", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
