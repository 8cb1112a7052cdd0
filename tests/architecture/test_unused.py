"""What a module keeps to itself is used in it: what was left over is not in the way of a reader."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "busway"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if "template" not in path.parts)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_private_names_are_used(path: Path) -> None:
    module = ast.parse(path.read_text("utf-8"))
    own = {name for name in defined(module) if name.startswith("_") and not name.startswith("__")}
    used = {
        node.id
        for node in ast.walk(module)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    }
    assert not own - used


def defined(module: ast.Module) -> Iterator[str]:
    """Yield the names of functions, classes and values of a module."""
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from (one.id for one in ast.walk(target) if isinstance(one, ast.Name))
