"""The pages for people: links lead somewhere, and files of ours that a page names are there."""

import functools
import re
import subprocess
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
    ours = tracked()
    places = ("", f"{page.parent.relative_to(REPO)}/", "transformer/", "predictor/")
    for name in re.findall(r"`([\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:py|md|yaml|mk))`(?!\])", page.read_text()):
        first, inside, _ = name.partition("/")
        found = {place.removeprefix("./") for place in places}
        # What starts with no folder of ours is another project's, or a result that is yet to be written.
        if not inside or any(place + first in ours for place in found):
            assert any(place + name.rstrip("/") in ours for place in found), name


@functools.cache
def tracked() -> set[str]:
    """Give every file of the project, and every folder."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=REPO, check=True, capture_output=True, text=True).stdout.splitlines()
    return {*files, *(str(folder) for file in files for folder in Path(file).parents)}
