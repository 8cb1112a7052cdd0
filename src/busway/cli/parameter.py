"""Parameters that several commands share: declared once, passed to each command as one value."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")
Parameters = Mapping[str, tuple[Any, Any]]
"""Parameters as Typer reads them: the annotation and the default by name."""
Command = Callable[..., None]
REQUIRED = inspect.Parameter.empty
"""The default of a parameter that is required."""


def add_parameters(
    options: Parameters, made: Callable[[Mapping[str, Any]], T], *, behind: int = 0
) -> Callable[[Command], Command]:
    """Return a decorator that replaces one parameter of a command by several options.

    The command gets what ``made`` returns for their values. ``behind`` is the number of parameters
    before the replaced one, which other decorators fill.
    """

    def added(command: Command) -> Command:
        @functools.wraps(command)
        def called(*filled: Any, **kwargs: Any) -> None:
            value = made({name: kwargs.pop(name) for name in options})
            command(*filled, value, **kwargs)

        set_signature(called, _parameters(command, options, behind))
        return called

    return added


def set_parameters(command: Command, options: Parameters) -> None:
    """Declare the parameters of a function that accepts any."""
    set_signature(command, [_keyword_parameter(name, *option) for name, option in options.items()])


def set_signature(command: Command, parameters: Sequence[inspect.Parameter]) -> None:
    """Set the signature that Typer reads of a function."""
    # the type of a function has no such attribute
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


def _parameters(command: Command, options: Parameters, behind: int) -> list[inspect.Parameter]:
    """Return the parameters in order: those before, required ones, the command's own, options."""
    hints = get_type_hints(command, include_extras=True)
    whole = [
        parameter.replace(annotation=hints[parameter.name])
        for parameter in inspect.signature(command).parameters.values()
    ]
    own = [_keyword_only(parameter) for parameter in whole[behind + 1 :]]
    added = [_keyword_parameter(name, *option) for name, option in options.items()]
    required = [parameter for parameter in added if parameter.default is REQUIRED]
    return (
        whole[:behind]
        + required
        + own
        + [parameter for parameter in added if parameter not in required]
    )


def _keyword_parameter(name: str, kind: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _keyword_only(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
