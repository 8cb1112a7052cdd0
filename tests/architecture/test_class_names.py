"""Public class names are unique in the package, so that a name means one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "busway"


def public_classes(source: str) -> Iterator[str]:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def repeated_classes(sources: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Return the class names that several modules define, with these modules."""
    modules = defaultdict(list)
    for module, source in sources:
        for name in public_classes(source):
            modules[name].append(module)
    return {name: paths for name, paths in modules.items() if len(paths) > 1}


def test_public_class_names_are_unique() -> None:
    files = sorted(SOURCE.rglob("*.py"))
    assert len(files) > 100
    sources = ((str(file.relative_to(SOURCE)), file.read_text("utf-8")) for file in files)
    assert repeated_classes(sources) == {}


def test_a_repeated_class_name_is_reported_with_its_modules() -> None:
    sources = [
        ("a.py", "class Batch: ..."),
        ("b.py", "class Batch: ...\nclass _Own: ..."),
        ("c.py", "class _Own: ...\nclass Other:\n    class Batch: ..."),
    ]
    assert repeated_classes(sources) == {"Batch": ["a.py", "b.py"]}
