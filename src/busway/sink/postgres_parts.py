"""Loads over which the connection was lost twice: landed in parts, without the row to blame."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from busway.outcome import Outcome, Retry
from busway.ports import Load
from busway.sink.part import given_up, halves
from busway.sink.postgres_error import Severed, down

RECOVERY_S = 10.0
"""How long a server may take to come back that a row has brought down."""
_PAUSE_S = 0.25
Land = Callable[[Load], Awaitable[Sequence[Outcome]]]
Ask = Callable[[], Awaitable[object]]


class Parts:
    """Lands loads by halves, each in a transaction of its own.

    ``land`` lands one, ``ask`` asks the server anything: it raises an error while it is away.
    """

    def __init__(self, land: Land, ask: Ask, place: str) -> None:
        self._land = land
        self._ask = ask
        self._place = place

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Return an outcome for each item; a row that ends its connection alone is parked."""
        outcomes: list[Outcome] = []
        parts = deque(halves(load) if len(load.items) > 1 else [load])
        while parts:
            part = parts.popleft()
            try:
                outcomes += await self._landed(part, parts)
            except Exception as error:
                rest = len(load.items) - len(outcomes)
                return [*outcomes, *[down(error, self._place)] * (rest or not load.items)]
        return outcomes

    async def _landed(self, part: Load, parts: deque[Load]) -> Sequence[Outcome]:
        try:
            return (await self._land(part))[: len(part.items)]
        except Severed as error:
            if not part.items:
                raise
            await self._back(error)
            if len(part.items) > 1:
                parts.extendleft(reversed(halves(part)))
                return ()
            if part.start is not None:
                await self._land(given_up(part))
            return [Retry("connection lost", f"while this row was written: {error}")]

    async def _back(self, error: Severed) -> None:
        """Return when the server answers again; raise the error when it does not."""
        for _ in range(int(RECOVERY_S / _PAUSE_S)):
            try:
                await self._ask()
            except Exception:
                await asyncio.sleep(_PAUSE_S)
            else:
                return
        raise error
