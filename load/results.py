"""Results of runs: read from JSON files, or from logs in which a runner printed them as one line."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SCHEMA = 1
LOG_PREFIX = "load-result: "

Result = dict[str, Any]


def read_results(paths: Iterable[Path]) -> list[Result]:
    """Read every result in the given files and folders, oldest first.

    Raises:
        ValueError: a file holds no result, or one of another schema.
    """
    results = [result for path in files_of(paths) for result in results_in(path)]
    return sorted(results, key=lambda result: str(result["finished_at"]))


def files_of(paths: Iterable[Path]) -> list[Path]:
    """Give the files named, and the .json files of the folders named."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.glob("*.json")) if path.is_dir() else [path]
    return files


def results_in(path: Path) -> list[Result]:
    """Read the results in one file."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        found = [json.loads(text)]
    else:
        lines = (line.partition(LOG_PREFIX) for line in text.splitlines())
        found = [json.loads(rest) for _, prefix, rest in lines if prefix]
    if not found:
        raise ValueError(f"{path} holds no line that begins with {LOG_PREFIX!r}")
    for result in found:
        if result.get("schema") != SCHEMA or "scenario" not in result:
            raise ValueError(f"{path} is not a result of this kit (schema {SCHEMA})")
    return found


def passed(result: Result) -> bool:
    """Whether every threshold of the run held."""
    return all(threshold["ok"] for threshold in result["thresholds"])
