"""Which data directory a command looks into, and how it is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from busway.engine.sqlite import open_beside
from busway.ports import Stores
from busway.settings import load, load_env_file

T = TypeVar("T")

Data = Annotated[Path | None, typer.Option("--data", help="The data directory. [.busway]")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def with_stores(data: Path | None, work: Callable[[Stores], Awaitable[T]]) -> T:
    """Open the stores of a data directory, beside a server where one runs, and do some work."""

    load_env_file(Path())

    async def opened() -> T:
        stores = await open_beside(load(data=data).data)
        try:
            return await work(stores)
        finally:
            await stores.close()

    return asyncio.run(opened())
