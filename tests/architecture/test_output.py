"""Commands print through one module, which escapes what comes from outside."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import busway.cli

PRINTS = re.compile(r"typer\.(?:echo|secho)\(|sys\.std(?:out|err)\.write|rich\.print")
OWN = {"output.py": 3, "main.py": 1, "call.py": 1}
"""Where it is the output's edge itself, the version, and what clears the screen."""


def test_only_the_edge_prints() -> None:
    folder = Path(busway.cli.__file__).parent
    found = {
        path.name: len(PRINTS.findall(path.read_text("utf-8"))) for path in folder.rglob("*.py")
    }
    printing = {name: count for name, count in found.items() if count}
    assert printing == OWN, "print by echo, echo_lines, echo_json, print_table of busway.cli.output"


def test_a_text_of_several_lines_is_printed_as_such() -> None:
    folder = Path(busway.cli.__file__).parent
    found = [
        f"{path.name}:{call.lineno}"
        for path in folder.rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "echo"
        and any(
            isinstance(one, ast.Constant) and "\n" in str(one.value)
            for argument in call.args
            for one in ast.walk(argument)
        )
    ]
    assert not found, "echo prints one line, with line ends escaped; use echo_lines"
