"""The pages for people: links lead somewhere, and files of ours that a page names are there."""

import re
from pathlib import Path

import pytest
from docs.commands import pages
from support.processes import REPO

PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(REPO)))


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@PAGES
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        linked = page.parent / name if name else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@PAGES
def test_files_that_a_page_names_exist(page: Path) -> None:
    places = (REPO, page.parent, REPO / "transformer", REPO / "predictor")
    for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:py|md|yaml|mk))`(?!\])", page.read_text()):
        first, inside, _ = name.partition("/")
        # What starts with no folder of ours is another project's, or a result that is yet to be written.
        if not inside or any((place / first).is_dir() for place in places):
            assert any((place / name).exists() for place in places), name
