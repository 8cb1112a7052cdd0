"""Options that are settings: a command names its options, and gets the values that were given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec

import typer

from busway.cli.parameter import add_parameters

P = ParamSpec("P")
GivenSettings = Mapping[str, Any]
FlowsFile = Annotated[str, typer.Argument(metavar="FILE[:APP]", help="The flows file.")]
ADDRESSES = ("host", "port", "api_host", "api_port", "api_open", "intake_keys")
_OPTIONS: Mapping[str, Any] = {
    "data": Annotated[Path | None, typer.Option(help="The data directory. [.busway]")],
    "engine": Annotated[
        str | None, typer.Option(metavar="URL", help="postgresql://… or nats://…, instead of it.")
    ],
    "ledger": Annotated[
        str | None, typer.Option(metavar="URL", help="postgresql://…, in addition to nats://….")
    ],
    "workers": Annotated[
        int | None,
        typer.Option(min=0, help="Number of worker processes; 0: none, deliver here. [0]"),
    ],
    "host": Annotated[str | None, typer.Option(help="The address to listen on. [127.0.0.1]")],
    "api_open": Annotated[
        bool | None,
        typer.Option("--api-open", help="Answer API calls without a token, for development."),
    ],
    "port": Annotated[int | None, typer.Option(help="The port; 0: a free one. [8400]")],
    "api_host": Annotated[str | None, typer.Option(help="A separate address for the API.")],
    "api_port": Annotated[
        int | None,
        typer.Option(help="A separate port for the API; 0: a free one."),
    ],
    "intake_keys": Annotated[
        str | None,
        typer.Option(
            metavar="required|off", help="Whether events need a key. [required beyond loopback]"
        ),
    ],
}


def setting_options(
    *names: str,
) -> Callable[[Callable[Concatenate[GivenSettings, P], None]], Callable[..., None]]:
    """Add the options of these settings to a command, which takes the given values first."""

    options = {name: (_OPTIONS[name], None) for name in names}

    def added(command: Callable[Concatenate[GivenSettings, P], None]) -> Callable[..., None]:
        return add_parameters(options, dict)(command)

    return added
