"""Options that are settings: a command names those that it has, and gets what was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from busway.cli.declare import adding

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
    "workers": Annotated[
        int | None, typer.Option(min=0, help="How many processes deliver, beside this one. [0]")
    ],
    "host": Annotated[str | None, typer.Option(help="The address to listen on. [127.0.0.1]")],
    "api_open": Annotated[
        bool | None,
        typer.Option("--api-open", help="Answer API calls without a token, for development."),
    ],
    "port": Annotated[int | None, typer.Option(help="The port; 0 takes a free one. [8400]")],
    "api_host": Annotated[
        str | None, typer.Option(help="The address of the API, for one of its own.")
    ],
    "api_port": Annotated[
        int | None,
        typer.Option(help="The port of the API, for one of its own; 0 takes a free one."),
    ],
    "intake_keys": Annotated[
        str | None,
        typer.Option(
            metavar="required|off", help="Whether events need a key. [required beyond loopback]"
        ),
    ],
}


def taking(
    *names: str,
) -> Callable[[Callable[Concatenate[Given, P], None]], Callable[..., None]]:
    """Add the options of these settings to a command that takes what is given of them first."""

    options = {name: (_OPTIONS[name], None) for name in names}

    def added(command: Callable[Concatenate[Given, P], None]) -> Callable[..., None]:
        return adding(options, dict)(command)

    return added
