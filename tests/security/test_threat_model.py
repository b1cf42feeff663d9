"""SECURITY.md says which test shows what: those tests exist, and every row has one."""

import ast
import re

from support.processes import REPO

PAGE = (REPO / "SECURITY.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_every_named_test_exists() -> None:
    assert len(NAMED) > 20
    missing = []
    for file, name in NAMED:
        path = REPO / file
        functions = {node.name for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "name")}
        if name and name not in functions:
            missing.append(f"{file}::{name}")
    assert missing == []


def test_every_risk_of_the_list_has_a_row_with_a_test() -> None:
    rows = re.findall(r"^\| (API\d+) .*$", PAGE, flags=re.MULTILINE)
    assert rows == [f"API{n}" for n in range(1, 11)]
    for line in PAGE.splitlines():
        if line.startswith("| API"):
            assert "`tests/" in line, line
