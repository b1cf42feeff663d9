"""How long faults last, and the table that is printed at the end."""

import json
import os
from pathlib import Path

import pytest
from chaos.open_load import Report

FULL = os.environ.get("CHAOS") == "full"
_RESULTS = Path(__file__).resolve().parents[2] / "results" / "chaos"


class Pace:
    """How long the load runs before, in and after a fault, in seconds, and its rate a second."""

    before_s, fault_s, after_s, rate = (2.0, 5.0, 6.0, 60.0) if FULL else (0.5, 1.5, 1.5, 40.0)


class Keep:
    """Takes reports; prints their table, and writes it when all faults ran."""

    def __init__(self) -> None:
        self._rows: list[dict[str, object]] = []

    def __call__(self, report: Report) -> Report:
        self._rows.append(report.row())
        return report

    def show(self, reporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        if not self._rows:
            return
        names = list(self._rows[0])
        lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
        lines += ["| " + " | ".join(str(row[name]) for name in names) + " |" for row in self._rows]
        reporter.section("chaos")
        for line in lines:
            reporter.write_line(line)
        if FULL:
            _RESULTS.mkdir(parents=True, exist_ok=True)
            (_RESULTS / "faults.json").write_text(json.dumps(self._rows, indent=1))
            (_RESULTS / "faults.md").write_text("\n".join(lines) + "\n")
