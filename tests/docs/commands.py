"""The commands that pages for people show: those in fenced blocks, and those in running text."""

import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.processes import REPO

# Written by a program, about a run that is over.
GENERATED = {"load/reports/runs/report.md"}
LANGUAGES = {"sh", "json", "text", "mermaid", "python", "js"}
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_PROGRAMS = {"az", "cp", "curl", "docker", "git", "helm", "kind", "kubectl", "make", "python", "python3", "terraform"}
_ASSIGNED = re.compile(r"[A-Za-z_]+=.*", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """What stands between two fences, and on which page."""

    page: Path
    language: str
    text: str


@dataclass(frozen=True)
class Command:
    """One program's call: the variables set for it, and its words."""

    page: Path
    variables: tuple[str, ...]
    words: tuple[str, ...]

    def __str__(self) -> str:
        """Write it as on the page, for a test's name."""
        return " ".join((*self.variables, *self.words))


def pages() -> list[Path]:
    """Give every page that a person reads."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listed, cwd=REPO, check=True, capture_output=True, text=True).stdout.split()
    return [REPO / name for name in sorted(set(names) - GENERATED)]


def blocks(page: Path) -> list[Block]:
    """Give a page's fenced blocks in order."""
    return [Block(page, language, textwrap.dedent(text)) for _, language, text in _FENCED.findall(page.read_text())]


def commands(page: Path) -> list[Command]:
    """Give a page's commands, each once."""
    found = [command for block in blocks(page) if block.language == "sh" for command in parsed(page, block.text)]
    prose = _FENCED.sub("", page.read_text())
    for span in re.findall(r"`([^`]+)`", prose):
        if looks_like_a_command(span):
            found += parsed(page, " ".join(span.split()))
    return list(dict.fromkeys(found))


def looks_like_a_command(text: str) -> bool:
    """Say whether a text is a program that is given something to do."""
    given = text.split()
    words = [word for word in given if not re.fullmatch(r"[A-Z_]+=\S*|sudo", word)]
    return len(given) > 1 and bool(words) and (words[0] in _PROGRAMS or words[0].endswith((".sh", "/python")))


def parsed(page: Path, text: str) -> Iterator[Command]:
    """Give the calls of a shell text, pipes and substitutions apart; ``# or: ...`` is one as well.

    Raises:
        ValueError: a quote is not closed.
    """
    pending = ""
    for line in text.splitlines():
        pending += line + "\n"
        whole = pending.replace("\\\n", " ")
        if pending.endswith("\\\n") or _open_quote(whole):
            continue
        pending = ""
        for each in (whole, *re.findall(r"# or: (.+)", whole)):
            substituted = re.sub(r"^\w+=\$\((.*)\)\s*$", r"\1", each)
            yield from _calls(page, shlex.split(substituted, comments=True))
    if pending.strip():
        raise ValueError(f"{page}: a quote is not closed: {pending}")


def _open_quote(text: str) -> bool:
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return True
    return False


def _calls(page: Path, words: list[str]) -> Iterator[Command]:
    call: list[str] = []
    for word in (*words, ";"):
        if word not in ("|", "&", "&&", ";"):
            call.append(word)
            continue
        if call[:1] == ["sudo"]:
            call = call[1:]
        if call:
            first = next(index for index, word in enumerate([*call, ""]) if not _ASSIGNED.fullmatch(word))
            yield Command(page, tuple(call[:first]), tuple(call[first:]))
        call = []
