"""What the command says about itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from busway.cli.main import app
from command import busway

BY_HAND = {"new", "run", "serve", "work"}
"""Commands for people alone: they have no --json."""


def commands() -> Iterator[tuple[list[str], Any]]:
    """Yield every command there is, with the words that call it."""
    waiting: list[tuple[list[str], Any]] = [([], typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        if words and command.callback is not None:
            yield words, command
        for name, one in getattr(command, "commands", {}).items():
            waiting.append(([*words, name], one))


COMMANDS = sorted(commands(), key=lambda found: found[0])
each = pytest.mark.parametrize("words", [words for words, _ in COMMANDS], ids=" ".join)


def test_the_version() -> None:
    ended = busway("--version", cwd=Path.cwd())
    assert (ended.code, ended.out) == (0, f"busway {version('busway')}\n")


def test_help_lists_every_command_on_one_screen() -> None:
    ended = busway("--help", cwd=Path.cwd(), COLUMNS="80")
    assert ended.code == 0
    names = sorted({words[0] for words, _ in COMMANDS})
    assert [name for name in names if f"│ {name} " in ended.out] == names
    assert len(ended.out.splitlines()) <= 50


@each
def test_a_command_has_help_with_an_example(words: list[str]) -> None:
    ended = CliRunner().invoke(app, [*words, "--help"])
    assert ended.exit_code == 0
    assert f"Example: busway {' '.join(words)}" in ended.output


@pytest.mark.parametrize("words", ["window", "dead", "replay"])
def test_a_family_of_commands_has_help_with_an_example(words: str) -> None:
    ended = CliRunner().invoke(app, [words, "--help"])
    assert f"Example: busway {words} " in ended.output


@each
def test_a_command_can_print_json(words: list[str]) -> None:
    (command,) = (one for found, one in COMMANDS if found == words)
    options = {name for parameter in command.params for name in parameter.opts}
    assert ("--json" in options) == (words[0] not in BY_HAND)


def test_a_wrong_command_is_2() -> None:
    ended = busway("runn", cwd=Path.cwd())
    assert ended.code == 2
    assert "No such command" in ended.err


def test_it_is_a_module_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "busway", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("busway ")
