"""What the README says about the API and about the way to the rest is so."""

import re
from collections.abc import Iterator

from support.processes import REPO

from predictor import errors as predictor_errors
from serving.errors import ServiceError
from transformer import errors as transformer_errors

README = (REPO / "README.md").read_text()


PREDICTOR = (REPO / "predictor" / "README.md").read_text()


def kinds(error: type[ServiceError]) -> Iterator[type[ServiceError]]:
    yield error
    for kind in error.__subclasses__():
        yield from kinds(kind)


def listed(page: str) -> dict[str, str]:
    """Statuses by code, of a page's table of errors."""
    rows = re.findall(r"^\| ([^|]+) \| ((?:`\w+`(?:, )?)+) \|", page, re.MULTILINE)
    return {code: statuses for statuses, codes in rows for code in re.findall(r"`(\w+)`", codes)}


def test_error_table_has_every_code_with_its_status() -> None:
    assert predictor_errors, transformer_errors  # each has kinds of its own
    for kind in kinds(ServiceError):
        statuses = listed(PREDICTOR if kind.__module__ == "predictor.errors" else README)
        assert kind.code in statuses, kind
        if kind.code != "predictor_refused":
            assert str(kind.status) in statuses[kind.code], kind


def test_everything_a_newcomer_looks_for_is_one_click_away() -> None:
    linked = set(re.findall(r"\]\(([^)#]+)", README))
    pages = {
        "FAQ.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE", "transformer/README.md",
        "predictor/README.md", "manifests/README.md", "infra/README.md", "load/README.md",
        "load/reports/runs/report.md",
        "manifests/components/monitoring/README.md", "manifests/components/monitoring/runbook.md",
        "model-artifacts/distilbert-tiny-sst2/README.md",
    }  # fmt: skip
    assert pages <= linked
