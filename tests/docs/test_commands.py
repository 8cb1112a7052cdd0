"""Every command in the documentation is one that there is, with options that it has."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from busway.cli.main import app
from document import DOCS, ROOT, blocks, name_of

TEMPLATE = ROOT / "src" / "busway" / "cli" / "template" / "README.md.txt"
SHELL = ("sh", "console", "bash", "shell")
INLINE = re.compile(r"`(busway [^`]+)`")
NAMED_ONLY = {"move", "run", "serve", "work", "new", "match", "show"}
"""Commands that need an argument; prose may name them without one."""
END = {"|", "&&", "||", ";", "&", ">", ">>", "2>", "<"}


def commands() -> Iterator[tuple[str, str]]:
    """Yield each line of a shell block, and each `busway …` in the prose, with its document."""
    for path in (*DOCS, TEMPLATE):
        for block in blocks(path, *SHELL):
            for line in block.text.splitlines():
                if line.strip().removeprefix("$ ").startswith(("busway ", ".venv/bin/busway ")):
                    yield name_of(path), line.strip().removeprefix("$ ")
        for inline in INLINE.findall(path.read_text("utf-8")):
            yield name_of(path), inline.replace("\n", " ")


def words(line: str) -> list[str]:
    """Return the arguments of the first command of a line."""
    found: list[str] = []
    for word in shlex.split(line, comments=True)[1:]:
        if word in END:
            break
        found.append(word)
    return found


def parsed(arguments: list[str]) -> None:
    """Parse arguments as the command line does, without running anything."""
    command: Any = typer.main.get_command(app)
    parent: Any = None
    name = "busway"
    while hasattr(command, "get_command"):
        if command.invoke_without_command and not (arguments and arguments[0].isalpha()):
            break
        parent = command.make_context(name, [*arguments[:1], "--"], parent=parent)
        name, arguments = arguments[0], arguments[1:]
        command = command.get_command(parent, name)
        assert command is not None, f"there is no command {name!r}"
    arguments = [one for one in arguments if one != "--help"]
    if arguments or name not in NAMED_ONLY:
        command.make_context(name, arguments, parent=parent)


COMMANDS = sorted(set(commands()))


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize(("path", "line"), COMMANDS)
def test_a_command_of_the_documentation_is_there(path: str, line: str) -> None:
    parsed(words(line))


@pytest.mark.parametrize("line", ["busway runn f.py", "busway status --jsn", "busway dead lst"])
def test_a_wrong_command_would_be_noticed(line: str) -> None:
    with pytest.raises(Exception, match=r"No such|there is no"):
        parsed(words(line))


def test_every_make_target_of_the_documentation_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    texts = [block.text for path in DOCS for block in blocks(path, *SHELL)]
    named = {name for text in texts for name in re.findall(r"^make ([a-z]+)", text, re.MULTILINE)}
    assert {"demo", "test"} <= named <= targets
