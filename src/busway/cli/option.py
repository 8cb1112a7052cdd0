"""Options that are settings: a command names those that it has, and gets what was given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

P = ParamSpec("P")
Given = Mapping[str, Any]
_OPTIONS: Mapping[str, Any] = {
    "data": Annotated[Path | None, typer.Option(help="The data directory. [.busway]")],
    "engine": Annotated[
        str | None, typer.Option(metavar="URL", help="postgresql://… or nats://… in its place.")
    ],
    "ledger": Annotated[
        str | None, typer.Option(metavar="URL", help="postgresql://… beside nats://….")
    ],
    "host": Annotated[str | None, typer.Option(help="The address to listen on. [127.0.0.1]")],
    "port": Annotated[int | None, typer.Option(help="The port; 0 takes a free one. [8400]")],
}


def taking(
    *names: str,
) -> Callable[[Callable[Concatenate[Given, P], None]], Callable[..., None]]:
    """Add the options of these settings to a command that takes what is given of them first."""

    def added(command: Callable[Concatenate[Given, P], None]) -> Callable[..., None]:
        @functools.wraps(command)
        def called(*args: P.args, **kwargs: P.kwargs) -> None:
            command({name: kwargs.pop(name) for name in names}, *args, **kwargs)

        hints = get_type_hints(command, include_extras=True)
        own = list(inspect.signature(command).parameters.values())[1:]
        parameters = [one.replace(annotation=hints[one.name]) for one in own]
        parameters += [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_OPTIONS[name]
            )
            for name in names
        ]
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return added
