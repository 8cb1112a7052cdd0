"""Imports point one way: the contracts in ``pyproject.toml``, checked by import-linter."""

from __future__ import annotations

import ast
from pathlib import Path

import grimp
import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "busway"
DISCOVERY = {"control/discovery.py", "cli/command_lookup.py"}
"""These import the modules of one package of their own layer, whatever their names."""


def test_every_contract_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    found = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True)
    assert found == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_nothing_inside_imports_the_public_package_itself() -> None:
    graph = grimp.build_graph("busway", cache_dir=None)
    assert graph.find_modules_that_directly_import("busway") == set()


def test_no_import_is_hidden_in_a_string() -> None:
    importers = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module")
    }
    assert importers == DISCOVERY
