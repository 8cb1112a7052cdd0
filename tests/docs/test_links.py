"""Links lead somewhere, paths that are mentioned exist, derived tables are what the code says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from document import DOCS, ROOT, anchors, links, name_of
from document_table import metric_rows, settings_rows

PATH = re.compile(r"`((?:src|tests|docs|examples|bench)/[\w./-]+)`")
REFERENCE = ROOT / "docs" / "reference.md"


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    broken = []
    for link in links(path):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        found = (path.parent / target).resolve() if target else path
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", DOCS, ids=name_of)
def test_paths_that_are_mentioned_exist(path: Path) -> None:
    mentioned = set(PATH.findall(path.read_text("utf-8")))
    assert {one for one in mentioned if not (ROOT / one).exists()} == set()


def test_the_architecture_is_told_by_file_names() -> None:
    assert len(set(PATH.findall((ROOT / "ARCHITECTURE.md").read_text("utf-8")))) > 40


def test_every_document_can_be_found_from_the_contents() -> None:
    reachable = {REFERENCE.parent / "index.md"}
    waiting = list(reachable)
    while waiting:
        path = waiting.pop()
        targets = {(path.parent / link.partition("#")[0]).resolve() for link in links(path)}
        new = {one for one in targets if one.suffix == ".md" and one.exists()} - reachable
        reachable |= new
        waiting += new
    lost = {name_of(path) for path in DOCS if path.parent.name != "decisions"} - {
        name_of(path) for path in reachable
    }
    assert lost == set()


@pytest.mark.parametrize("rows", [settings_rows, metric_rows])
def test_a_derived_table_is_what_the_code_says(rows: Callable[[], Iterator[str]]) -> None:
    documented = REFERENCE.read_text("utf-8").splitlines()
    wanted = list(rows())
    first = documented.index(wanted[0])
    assert documented[first : first + len(wanted)] == wanted
    after = documented[first + len(wanted) : first + len(wanted) + 1]
    assert not any(line.startswith("|") for line in after)
