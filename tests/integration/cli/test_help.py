"""What the command says about itself."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from busway.cli.main import app
from command import busway

COMMANDS = ["new", "run", "status", "check", "match", "dead"]
DEAD = ["list", "show", "redrive", "discard"]


def test_the_version() -> None:
    ended = busway("--version", cwd=Path.cwd())
    assert (ended.code, ended.out) == (0, f"busway {version('busway')}\n")


def test_help_lists_every_command_on_one_screen() -> None:
    ended = busway("--help", cwd=Path.cwd(), COLUMNS="80")
    assert ended.code == 0
    assert [name for name in COMMANDS if f"│ {name} " in ended.out] == COMMANDS
    assert len(ended.out.splitlines()) <= 30


@pytest.mark.parametrize("command", [*([one] for one in COMMANDS), *(["dead", x] for x in DEAD)])
def test_each_command_has_help_with_an_example(command: list[str]) -> None:
    ended = CliRunner().invoke(app, [*command, "--help"])
    assert ended.exit_code == 0
    assert command == ["dead"] or f"Example: busway {' '.join(command)}" in ended.output


def test_a_wrong_command_is_2() -> None:
    ended = busway("runn", cwd=Path.cwd())
    assert ended.code == 2
    assert "No such command" in ended.err


def test_it_is_a_module_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "busway", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("busway ")
