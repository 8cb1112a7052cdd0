"""Every block of Python in the documentation runs, in order, one namespace for each document."""

from __future__ import annotations

import json
import linecache
from pathlib import Path
from typing import Any

import pytest

from busway import App
from busway.flow import compile_app
from document import DOCS, Block, blocks, name_of

WITH_PYTHON = [path for path in DOCS if any(blocks(path, "python"))]
WITH_JSON = [path for path in DOCS if any(blocks(path, "json"))]


def run(path: Path, block: Block, namespace: dict[str, Any]) -> None:
    """Run one block so that a traceback, and ``inspect``, show its lines."""
    name = f"<{name_of(path)}:{block.line}>"
    linecache.cache[name] = (len(block.text), None, block.text.splitlines(True), name)
    exec(compile(block.text, name, "exec"), namespace)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("CRM_URL", "WAREHOUSE_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:9/orders")
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:9/shop")
    return tmp_path


@pytest.mark.parametrize("path", WITH_PYTHON, ids=name_of)
@pytest.mark.usefixtures("elsewhere")
def test_the_python_of_a_document_runs(path: Path) -> None:
    namespace: dict[str, Any] = {"__name__": "snippet"}
    for block in blocks(path, "python"):
        run(path, block, namespace)
    for app in {id(one): one for one in namespace.values() if isinstance(one, App)}.values():
        compile_app(app)


@pytest.mark.parametrize("path", WITH_JSON, ids=name_of)
def test_the_json_of_a_document_is_json(path: Path) -> None:
    for block in blocks(path, "json"):
        json.loads(block.text)


def test_the_readme_has_a_flow_in_ten_lines() -> None:
    readme = next(path for path in DOCS if path.name == "README.md")
    first = next(blocks(readme, "python"))
    assert len([line for line in first.text.splitlines() if line.strip()]) <= 10
