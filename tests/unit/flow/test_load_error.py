"""Errors of a flows file that fails to load: the user's own lines, and suggestions."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from busway.errors import FlowError
from busway.flow import load_app


def error_lines(folder: Path, text: str, **others: str) -> list[str]:
    """Return the lines of the error of a flows file, without the folder."""
    for name, content in others.items():
        (folder / f"{name}.py").write_text(content)
    (folder / "flows.py").write_text(text)
    with pytest.raises(FlowError) as caught:
        load_app(str(folder / "flows.py"))
    return str(caught.value).replace(f"{folder}{os.sep}", "").splitlines()


def test_a_syntax_error_shows_the_line_and_a_caret(tmp_path: Path) -> None:
    lines = error_lines(tmp_path, "x = 1\n\nif x:\n    app.flow('a' to=x)\n")
    assert lines[0].startswith("flows.py:4: SyntaxError: ")
    assert lines[1] == "    app.flow('a' to=x)"
    assert lines[2].rstrip("^") == "             "
    assert lines[2].endswith("^")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f():\nreturn 1", "flows.py:2: IndentationError: "),
        ("def f():\n\tif 1:\n        return 2", "flows.py:3: TabError: "),
        ("x = 'a", "flows.py:1: SyntaxError: unterminated string"),
        ("x = \0", "source code string cannot contain null bytes"),
    ],
)
def test_all_kinds_of_syntax_errors_have_a_location(tmp_path: Path, text: str, says: str) -> None:
    assert says in error_lines(tmp_path, text)[0]


def test_an_exception_shows_the_lines_of_the_users_files_only(tmp_path: Path) -> None:
    lines = error_lines(
        tmp_path,
        "import json\nimport shop_settings\nconfig = shop_settings.read()\n",
        shop_settings="import json\n\ndef read():\n    return json.loads('{')\n",
    )
    assert lines[0].startswith("shop_settings.py:4: json.decoder.JSONDecodeError: ")
    assert lines[1:] == [
        "    flows.py:3: config = shop_settings.read()",
        "    shop_settings.py:4: return json.loads('{')",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from busway.sinks import postgress", "did you mean 'postgres'?"),
        ("from busway import Ap", "did you mean 'App'?"),
        ("from busway.alerts import dead_leters", "did you mean 'dead_letters'?"),
        ("from busway import console", "import sinks from busway.sinks"),
        ("import busway.snks", "did you mean 'busway.sinks'?"),
        ("import orders_hepler", "did you mean 'orders_helper'?"),
        ("import jsn", "did you mean 'json'?"),
        ("from busway import App\napp = App('x')\nap.flow('a')", "did you mean 'app'?"),
        ("from busway import App\napp = App('x')\napp.flwo('a')", "did you mean 'flow'?"),
        ("prnt(1)", "did you mean 'print'?"),
    ],
)
def test_an_unknown_name_gives_a_suggestion(tmp_path: Path, text: str, says: str) -> None:
    assert says in error_lines(tmp_path, text, orders_helper="")[0]


def test_a_missing_module_names_the_python_and_the_command(tmp_path: Path) -> None:
    (lines, _) = error_lines(tmp_path, "import no_such_package_zq.part")
    assert f"in this Python, {sys.executable}; " in lines
    assert lines.endswith("-m pip install no_such_package_zq")


def test_a_missing_module_of_an_extra_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    lines = error_lines(tmp_path, "import asyncpg")[0]
    assert lines.endswith("pip install 'busway[postgres]'")


def test_an_unset_variable_is_named(tmp_path: Path) -> None:
    lines = error_lines(tmp_path, "import os\nos.environ['SHOP_TOKEN_ZQ']")[0]
    assert "flows.py:2: the environment variable SHOP_TOKEN_ZQ is not set; set it, or" in lines


def test_a_recursion_shows_its_line_once(tmp_path: Path) -> None:
    lines = error_lines(tmp_path, "def f():\n    return f()\nf()\n")
    assert lines[1:3] == ["    flows.py:3: f()", "    flows.py:2: return f()"]
    assert len(lines) == 4
    assert "repeated lines omitted" in lines[3]


def test_a_secret_in_an_exception_is_redacted(tmp_path: Path) -> None:
    lines = error_lines(tmp_path, "raise ValueError('http://me:pa55word@crm.example/x')")
    assert "pa55word" not in lines[0]


def test_a_folder_or_a_misspelt_path_suggests_a_file(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("")
    for target, says in ((tmp_path, "use a file in it, like"), (tmp_path / "flow.py", "mean")):
        with pytest.raises(FlowError, match=says) as caught:
            load_app(str(target))
        assert str(tmp_path / "flows.py") in str(caught.value)
