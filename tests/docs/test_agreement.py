"""The documentation says what the code does: defaults, the names of parameters, statuses."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from busway import Backoff, BreakerPolicy, sinks
from document import ROOT

DOCS = ROOT / "docs"
REFUSE = ("RequestRefusal", "_retry_later")
HTTP = ROOT / "src" / "busway" / "source"
ROW = re.compile(r"^\| *(.+?) *\| *(.*?) *\|(?: *(.*?) *\|)?$", re.MULTILINE)
SETTINGS = [name for name in sinks.__all__ if name not in ("bus", "console", "jsonl")]
"""Sinks whose section has a table of settings."""


def section(page: str, heading: str) -> str:
    """Return the text below a heading of the second level."""
    text = (DOCS / page).read_text("utf-8")
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no section {heading!r}"
    return found[1]


def rows(text: str, first: str) -> dict[str, str]:
    """Return the names and defaults of the table that begins with a column."""
    table = text.partition(f"| {first} |")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    for row in ROW.finditer(table):
        names, defaults = re.findall(r"`(\w+)`", row[1]), re.split(r"`?, `?", row[2].strip("`"))
        for number, name in enumerate(names):
            found[name] = defaults[number if len(defaults) == len(names) else 0].strip('`"')
    return found


def defaults(kind: Any) -> dict[str, Any]:
    return {one.name: one.default for one in msgspec.structs.fields(kind)}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_of_a_sink_are_those_of_the_code(name: str) -> None:
    told, real = rows(section("sinks.md", name), "setting"), defaults(getattr(sinks, name))
    assert told.keys() == real.keys()
    for setting, default in real.items():
        if default in (msgspec.NODEFAULT, None, ()):
            continue
        if told[setting]:
            assert told[setting] == str(default), f"{name}({setting}=…)"


@pytest.mark.parametrize(("kind", "heading"), [(Backoff, "Retry"), (BreakerPolicy, "Breaker")])
def test_the_fields_of_a_policy_are_those_of_the_code(kind: Any, heading: str) -> None:
    told = rows(section("delivery.md", heading), f"field of `{kind.__name__}`")
    assert told.keys() == defaults(kind).keys()


def refusals() -> Iterator[tuple[int, str]]:
    """Yield the status and the name of every refusal in the code of the intake."""
    for path in HTTP.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in REFUSE:
                values = [one.value for one in node.args[:2] if isinstance(one, ast.Constant)]
                if len(values) == 2:
                    yield int(str(values[0])), str(values[1])


def test_every_refusal_of_the_intake_is_in_its_table() -> None:
    table = section("intake.md", "Refusals").partition("| status |")[2].partition("\n\n")[0]
    told = set()
    for row in ROW.finditer(table):
        statuses, names = re.findall(r"\d{3}", row[1]), re.findall(r"`([\w-]+)`", row[2])
        pairs = zip(statuses, names, strict=True) if len(statuses) > 1 else []
        told |= set(pairs) or {(statuses[0], name) for name in names} if statuses else set()
    real = {(str(status), kind) for status, kind in refusals() if kind != "internal"}
    assert real - told == set()
    assert told - real == set()


def test_the_runbook_names_no_other_status_than_the_intake() -> None:
    known = {str(status) for status, _ in refusals()}
    table = section("operating.md", "The intake refuses events")
    told = {status for row in ROW.finditer(table) for status in re.findall(r"\b\d{3}\b", row[1])}
    assert told
    assert told <= known


def test_the_index_leads_to_every_page_and_decision() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    linked = set(re.findall(r"\]\(([\w/.-]+\.md)\)", index))
    pages = {str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md")} - {"index.md"}
    assert pages - linked == set()
    numbers = [int(path.name[:4]) for path in sorted((DOCS / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
