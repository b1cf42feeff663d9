"""What the README says about the API and about the way to the rest is so."""

import re
from collections.abc import Iterator

from support.processes import REPO

from transformer.errors import TransformerError
from transformer.protocol import sdk_errors

README = (REPO / "README.md").read_text()


def kinds(error: type[TransformerError]) -> Iterator[type[TransformerError]]:
    yield error
    for kind in error.__subclasses__():
        yield from kinds(kind)


def test_error_table_has_every_code_with_its_status() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ((?:`\w+`(?:, )?)+) \|", README, re.MULTILINE)
    listed = {code: statuses for statuses, codes in rows for code in re.findall(r"`(\w+)`", codes)}
    assert sdk_errors  # it has kinds of its own
    for kind in kinds(TransformerError):
        assert kind.code in listed, kind
        if kind.code != "predictor_refused":
            assert str(kind.status) in listed[kind.code], kind
    # What is refused before there is a request, or while the process leaves, is written as bytes.
    written = "\n".join(path.read_text() for path in (REPO / "transformer").glob("*.py"))
    refusals = re.findall(r'\((\d{3}), "(\w+)", ', written)
    assert refusals
    for status, code in [*refusals, *(("503", code) for code in re.findall(r'"code": "(\w+)"', written))]:
        assert status in listed[code], code


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
