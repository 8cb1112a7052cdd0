"""Options that several commands have: declared once, and given to each command as one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")
Options = Mapping[str, tuple[Any, Any]]
"""Parameters as Typer reads them: by name, the annotation and the default."""
Command = Callable[..., None]
REQUIRED = inspect.Parameter.empty
"""The default of one that must be given."""


def adding(
    options: Options, made: Callable[[Mapping[str, Any]], T], *, behind: int = 0
) -> Callable[[Command], Command]:
    """Return a decorator that puts options in the place of one parameter of a command.

    The command gets in it what is ``made`` of the values that were given. ``behind`` is how many
    parameters come before it: those that another decorator fills.
    """

    def added(command: Command) -> Command:
        @functools.wraps(command)
        def called(*filled: Any, **kwargs: Any) -> None:
            value = made({name: kwargs.pop(name) for name in options})
            command(*filled, value, **kwargs)

        take_these(called, _parameters(command, options, behind))
        return called

    return added


def take_only(command: Command, options: Options) -> None:
    """Have a function that takes anything be read as one that takes these parameters."""
    take_these(command, [_declared(name, *option) for name, option in options.items()])


def take_these(command: Command, parameters: Sequence[inspect.Parameter]) -> None:
    """Have a function be read as one that takes these parameters."""
    # what Typer reads of a function; the type of a function has no such attribute
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}


def _parameters(command: Command, options: Options, behind: int) -> list[inspect.Parameter]:
    """Return those before the replaced one, what must be given, the command's own, the options."""
    hints = get_type_hints(command, include_extras=True)
    whole = [
        one.replace(annotation=hints[one.name])
        for one in inspect.signature(command).parameters.values()
    ]
    own = [_by_name(one) for one in whole[behind + 1 :]]
    added = [_declared(name, *option) for name, option in options.items()]
    required = [one for one in added if one.default is REQUIRED]
    return whole[:behind] + required + own + [one for one in added if one not in required]


def _declared(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _by_name(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
