"""The documentation as data: its blocks and its links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("examples/*/*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)", re.DOTALL)
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block; ``line`` is that of its first line of text."""

    language: str
    text: str
    line: int


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def blocks(path: Path, *languages: str) -> Iterator[Block]:
    """Yield the blocks of a document in these languages, in order."""
    text = path.read_text("utf-8")
    for found in FENCED.finditer(text):
        if found[1] in languages:
            yield Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)


def links(path: Path) -> Iterator[str]:
    """Yield the targets of a document's links, those in code left out."""
    prose = re.sub(r"`[^`]*`", "", FENCED.sub("", path.read_text("utf-8")))
    yield from LINK.findall(prose)


def anchors(path: Path) -> set[str]:
    """Return what the headings of a document can be linked by, as GitHub makes them."""
    headings = HEADING.findall(FENCED.sub("", path.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
