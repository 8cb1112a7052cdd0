"""A flows file that does not load: the user's own lines, and what was meant."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from busway.errors import FlowError
from busway.flow import load_app


def refused(folder: Path, text: str, **others: str) -> list[str]:
    """Return the lines of what is said of a flows file, without the folder."""
    for name, content in others.items():
        (folder / f"{name}.py").write_text(content)
    (folder / "flows.py").write_text(text)
    with pytest.raises(FlowError) as caught:
        load_app(str(folder / "flows.py"))
    return str(caught.value).replace(f"{folder}{os.sep}", "").splitlines()


def test_a_syntax_error_shows_the_line_and_a_caret(tmp_path: Path) -> None:
    told = refused(tmp_path, "x = 1\n\nif x:\n    app.flow('a' to=x)\n")
    assert told[0].startswith("flows.py:4: SyntaxError: ")
    assert told[1] == "    app.flow('a' to=x)"
    assert told[2].rstrip("^") == "             "
    assert told[2].endswith("^")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def f():\nreturn 1", "flows.py:2: IndentationError: "),
        ("def f():\n\tif 1:\n        return 2", "flows.py:3: TabError: "),
        ("x = 'a", "flows.py:1: SyntaxError: unterminated string"),
        ("x = \0", ": SyntaxError: source code string cannot contain null bytes"),
    ],
)
def test_every_kind_of_syntax_error_has_its_place(tmp_path: Path, text: str, says: str) -> None:
    assert says in refused(tmp_path, text)[0]


def test_an_exception_shows_the_lines_of_the_users_files_only(tmp_path: Path) -> None:
    told = refused(
        tmp_path,
        "import json\nimport shop_settings\nconfig = shop_settings.read()\n",
        shop_settings="import json\n\ndef read():\n    return json.loads('{')\n",
    )
    assert told[0].startswith("shop_settings.py:4: json.decoder.JSONDecodeError: ")
    assert told[1:] == [
        "    flows.py:3: config = shop_settings.read()",
        "    shop_settings.py:4: return json.loads('{')",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("from busway.sinks import postgress", "did you mean 'postgres'?"),
        ("from busway import Ap", "did you mean 'App'?"),
        ("from busway.alerts import dead_leters", "did you mean 'dead_letters'?"),
        ("from busway import console", "sinks are in busway.sinks"),
        ("import busway.snks", "did you mean 'busway.sinks'?"),
        ("import orders_hepler", "did you mean 'orders_helper'?"),
        ("import jsn", "did you mean 'json'?"),
        ("from busway import App\napp = App('x')\nap.flow('a')", "did you mean 'app'?"),
        ("from busway import App\napp = App('x')\napp.flwo('a')", "did you mean 'flow'?"),
        ("prnt(1)", "did you mean 'print'?"),
    ],
)
def test_a_wrong_name_says_which_was_meant(tmp_path: Path, text: str, says: str) -> None:
    assert says in refused(tmp_path, text, orders_helper="")[0]


def test_a_missing_module_says_in_which_python_and_what_to_do(tmp_path: Path) -> None:
    (told, _) = refused(tmp_path, "import no_such_package_zq.part")
    assert f"in this Python, {sys.executable}; " in told
    assert told.endswith("-m pip install no_such_package_zq")


def test_a_missing_module_of_an_extra_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    told = refused(tmp_path, "import asyncpg")[0]
    assert told.endswith("pip install 'busway[postgres]'")


def test_an_unset_variable_is_named(tmp_path: Path) -> None:
    told = refused(tmp_path, "import os\nos.environ['SHOP_TOKEN_ZQ']")[0]
    assert "flows.py:2: the environment variable SHOP_TOKEN_ZQ is not set; set it, or" in told


def test_a_recursion_shows_its_line_once(tmp_path: Path) -> None:
    told = refused(tmp_path, "def f():\n    return f()\nf()\n")
    assert told[1:3] == ["    flows.py:3: f()", "    flows.py:2: return f()"]
    assert len(told) == 4
    assert "lines are the same" in told[3]


def test_a_secret_in_a_librarys_words_is_not_shown(tmp_path: Path) -> None:
    told = refused(tmp_path, "raise ValueError('http://me:pa55word@crm.example/x')")
    assert "pa55word" not in told[0]


def test_a_folder_and_a_misspelt_file_name_a_file(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text("")
    for target, says in ((tmp_path, "give a file in it, like"), (tmp_path / "flow.py", "mean")):
        with pytest.raises(FlowError, match=says) as caught:
            load_app(str(target))
        assert str(tmp_path / "flows.py") in str(caught.value)
