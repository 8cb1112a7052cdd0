"""The commands by name. A module with its imports is loaded when its command is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

import typer
from typer.core import TyperGroup

Command = Callable[..., None] | typer.Typer
Commands = dict[str, Command]


def _new() -> Commands:
    from busway.cli import new

    return {"new": new.new}


def _start() -> Commands:
    from busway.cli import start

    return {"run": start.run, "serve": start.serve, "work": start.work}


def _move() -> Commands:
    from busway.cli import move

    return {"move": move.move}


def _look() -> Commands:
    from busway.cli import look

    return {"status": look.status, "check": look.check}


def _worker() -> Commands:
    from busway.cli import worker

    return {"workers": worker.workers}


def _alert() -> Commands:
    from busway.cli import alert

    return {"alerts": alert.app}


def _tail() -> Commands:
    from busway.cli import tail

    return {"tail": tail.tail}


def _event() -> Commands:
    from busway.cli import event

    return {"event": event.event, "events": event.events}


def _match() -> Commands:
    from busway.cli import match

    return {"match": match.match}


def _flow() -> Commands:
    from busway.cli import flow, lifecycle

    flow.app.command("rename")(lifecycle.rename)
    flow.app.command("remove")(lifecycle.remove)
    return {"flows": flow.app}


def _audit() -> Commands:
    from busway.cli import audit

    return {"audit": audit.audit}


def _dead() -> Commands:
    from busway.cli import dead

    return {"dead": dead.app}


def _replay() -> Commands:
    from busway.cli import replay

    return {"replay": replay.app}


def _derived() -> Commands:
    """Stand for the commands of declared operations."""
    return {}


MODULES: dict[str, Callable[[], Commands]] = {
    "new": _new,
    "run": _start,
    "serve": _start,
    "work": _start,
    "move": _move,
    "status": _look,
    "workers": _worker,
    "check": _look,
    "alerts": _alert,
    "tail": _tail,
    "event": _event,
    "events": _event,
    "match": _match,
    "flows": _flow,
    "audit": _audit,
    "pause": _derived,
    "resume": _derived,
    "drain": _derived,
    "throttle": _derived,
    "window": _derived,
    "dead": _dead,
    "jobs": _derived,
    "replay": _replay,
    "keys": _derived,
    "sources": _derived,
}
"""By the name of a command, in the order of the help: what loads its module."""


def _command(word: str) -> Command:
    if word in MODULES and MODULES[word] is not _derived:
        return MODULES[word]()[word]
    from busway.cli.operation_group import command_of

    return command_of(word)


class _LazyCommands(MutableMapping[str, Any]):
    """The commands of the command line; each is loaded when it is looked up."""

    def __init__(self) -> None:
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = _parser(name, _command(name))
        return self._loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


class LazyGroup(TyperGroup):
    """A group of the commands in :data:`MODULES`."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _LazyCommands()

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self.commands)


def _parser(name: str, command: Command) -> Any:
    """Return a command as the command line reads it."""
    made = typer.Typer(rich_markup_mode="markdown", add_completion=False)
    if isinstance(command, typer.Typer):
        made.add_typer(command, name=name)
        made.callback()(_nothing)
        return typer.main.get_group(made).commands[name]
    made.command(name)(command)
    return typer.main.get_command(made)


def _nothing() -> None:
    """Stand for the group that the commands of a module are not in."""
