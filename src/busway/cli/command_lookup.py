"""The commands that one word begins: the word alone, and those below it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

import typer

import busway.cli.command as package
from busway.cli.operation_command import commands_of
from busway.cli.parameter import set_signature
from busway.control.discovery import groups_of, load_module, module_names, operations_of
from busway.control.operation import CommandGroup

Command = Callable[..., None]
Commands = Mapping[tuple[str, ...], Command]


def all_words() -> Sequence[str]:
    """Return the words that commands begin with; loads every module."""
    return list(dict.fromkeys(words[0] for name in _names() for words in _commands(name)))


def command_of(word: str) -> Command | typer.Typer:
    """Return the command of a word, or the group of the commands that it begins.

    The module is named for the word, in the singular; only for a word that no module is named for
    are all of them loaded. Raises :class:`KeyError` if there is no such command.
    """
    names = _names()
    likely = [name for name in (word, word.removesuffix("s")) if name in names]
    for name in likely or names:
        commands = {words: run for words, run in _commands(name).items() if words[0] == word}
        if commands:
            return _assembled(word, commands, _groups(name))
    raise KeyError(word)


def _names() -> Sequence[str]:
    """Return the names of the modules that may have commands."""
    written = (module.name for module in pkgutil.iter_modules(package.__path__))
    return sorted({*module_names(), *written})


@functools.cache
def _commands(name: str) -> Commands:
    declared = operations_of(load_module(name)) if name in module_names() else ()
    return commands_of(declared, _written(name))


def _groups(name: str) -> Sequence[CommandGroup]:
    return list(groups_of(load_module(name))) if name in module_names() else ()


def _written(name: str) -> ModuleType | None:
    """Return the module of what is written by hand for the commands of a name, if there is one."""
    full = f"{package.__name__}.{name}"
    return importlib.import_module(full) if importlib.util.find_spec(full) else None


def _assembled(
    word: str, commands: Commands, groups: Sequence[CommandGroup]
) -> Command | typer.Typer:
    alone = commands.get((word,))
    if alone is not None and len(commands) == 1:
        return alone
    app = typer.Typer(no_args_is_help=alone is None, invoke_without_command=True)
    for group in groups:
        if group.word == word:
            app.info.help = f"{group.description}\n\nExample: {group.example}"
    for words, run in commands.items():
        if words == (word,):
            app.callback()(_without_subcommand(run))
        else:
            app.command(" ".join(words[1:]))(run)
    return app


def _without_subcommand(run: Command) -> Command:
    """Return a command that runs unless one below it is called."""

    @functools.wraps(run)
    def called(context: typer.Context, **given: Any) -> None:
        if context.invoked_subcommand is None:
            run(**given)

    first = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    set_signature(called, [first, *inspect.signature(run).parameters.values()])
    return called
