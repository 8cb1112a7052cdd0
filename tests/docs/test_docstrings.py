"""Every example in a docstring is true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import busway

MODULES = [
    found.name
    for found in pkgutil.walk_packages(busway.__path__, "busway.")
    if not found.name.endswith("__main__")
]


def examples() -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = (test for name in MODULES for test in finder.find(importlib.import_module(name)))
    return [test for test in found if test.examples]


EXAMPLES = examples()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 10


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda one: one.name)
def test_an_example_of_a_docstring_is_true(
    example: doctest.DocTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told: list[str] = []
    failed, _ = doctest.DocTestRunner().run(example, out=told.append)
    assert not failed, "".join(told)
