"""Edits of the Python files beside a flows file, for ``--reload``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from busway.errors import SettingsError


@contextlib.asynccontextmanager
async def edits(folder: Path) -> AsyncIterator[asyncio.Event]:
    """Yield an event that is set by each edit of a Python file in a folder, or below, from now on.

    Raises a :class:`SettingsError` where the folder cannot be watched.
    """
    from watchfiles import awatch  # noqa: PLC0415 - what a run without --reload need not load

    edited = asyncio.Event()

    async def watch() -> None:
        async for _ in awatch(folder, watch_filter=_matters):
            edited.set()

    watching = asyncio.create_task(watch(), name="edits")
    try:
        await asyncio.sleep(0)  # its first step begins to watch
        if watching.done():
            raise SettingsError(
                f"--reload cannot watch {folder}: {watching.exception()}; run without it"
            )
        yield edited
    finally:
        watching.cancel()
        await asyncio.wait((watching,))


def _matters(_: object, path: str) -> bool:
    return path.endswith(".py")
