"""The dashboards as files: generated, well-formed, and about metrics that exist."""

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from observability.catalogue import known_metrics, metrics_in, substituted
from prometheus_client import CollectorRegistry

from manifests.components.monitoring import alerts
from manifests.components.monitoring.boards import Board
from manifests.components.monitoring.generate import BOARDS, files

HERE = Path(__file__).parent


def test_regenerating_changes_nothing() -> None:
    stale = [path.name for path, content in files().items() if path.read_text() != content]
    assert stale == [], "run `make dashboards`"


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
class TestBoard:
    def _panels(self, board: Board) -> list[dict[str, Any]]:
        path = next(path for path in files() if path.stem == board.uid.removeprefix("sentiment-"))
        panels: list[dict[str, Any]] = json.loads(path.read_text())["panels"]
        return panels

    def test_panels_have_ids_of_their_own_and_do_not_overlap(self, board: Board) -> None:
        panels = self._panels(board)
        ids = Counter(panel.get("id") for panel in panels if panel["type"] != "row")
        assert max(ids.values()) == 1
        cells = [panel["gridPos"] for panel in panels]
        for one, other in combinations(cells, 2):
            apart = (
                one["x"] + one["w"] <= other["x"]
                or other["x"] + other["w"] <= one["x"]
                or one["y"] + one["h"] <= other["y"]
                or other["y"] + other["h"] <= one["y"]
            )
            assert apart, (one, other)
        assert all(cell["x"] + cell["w"] <= 24 for cell in cells)

    def test_every_panel_has_a_unit_a_sentence_and_the_chosen_source(self, board: Board) -> None:
        for panel in self._panels(board):
            if panel["type"] == "row":
                continue
            assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
            assert panel["description"].endswith("."), panel["title"]
            assert panel["datasource"]["uid"] == "$datasource"
            assert all(target["datasource"]["uid"] == "$datasource" for target in panel["targets"])

    def test_every_expression_is_promql_over_known_metrics(self, board: Board) -> None:
        known = known_metrics(CollectorRegistry())
        for panel in board.panels():
            for query in panel.queries:
                expr = substituted(query.expr)
                promql_parser.parse(expr)
                assert "$" not in expr
                used = metrics_in(expr)
                assert used, panel.title
                assert used <= known, (panel.title, used - known)

    def test_legends_name_labels_that_the_query_keeps(self, board: Board) -> None:
        for panel in board.panels():
            for query in panel.queries:
                wanted = set(re.findall(r"{{(\w+)}}", query.legend))
                kept = set(re.findall(r"\w+", " ".join(re.findall(r"(?:by|on) \(([^)]*)\)", query.expr))))
                assert wanted <= kept, (panel.title, query)


def test_every_alert_is_promql_over_known_metrics() -> None:
    known = known_metrics(CollectorRegistry())
    groups = [*alerts.groups("knative"), *alerts.groups("standard")]
    recorded = {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    for group in groups:
        for rule in group["rules"]:
            assert metrics_in(rule["expr"]) <= known | recorded, rule
