"""The group of all commands; each is imported when it is looked up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import typer
from typer.core import TyperGroup

ORDER = (
    *("new", "run", "serve", "work", "move"),
    *("status", "workers", "check", "alerts", "tail", "event", "events", "match", "flows", "audit"),
    *(
        "pause",
        "resume",
        "drain",
        "throttle",
        "window",
        "dead",
        "jobs",
        "replay",
        "keys",
        "sources",
    ),
)
"""The order of the help; commands that are not in it come last."""


class _LazyCommands(MutableMapping[str, Any]):
    """The commands of the command line; each is loaded when it is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            from busway.cli.command_lookup import command_of

            self._loaded[name] = _click_command(name, command_of(name))
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        from busway.cli.command_lookup import all_words

        return iter(sorted(all_words(), key=lambda word: (*ORDER, word).index(word)))

    def __len__(self) -> int:
        return len(list(iter(self)))


class LazyGroup(TyperGroup):
    """The group of all commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _LazyCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


def _click_command(name: str, command: Callable[..., None] | typer.Typer) -> Any:
    """Return a command as the command line reads it."""
    made = typer.Typer(rich_markup_mode="markdown", add_completion=False)
    if isinstance(command, typer.Typer):
        made.add_typer(command, name=name)
        made.callback()(_group_callback)
        return typer.main.get_group(made).commands[name]
    made.command(name)(command)
    return typer.main.get_command(made)


def _group_callback() -> None:
    """Stand for the group that the command is taken out of."""
