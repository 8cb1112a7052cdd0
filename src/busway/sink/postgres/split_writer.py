"""Writes a load that lost the connection twice in parts, to isolate the row that causes it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from busway.outcome import Outcome, Retry
from busway.ports import Load
from busway.sink.load_split import split_load, without_items
from busway.sink.postgres.error import ConnectionLost, as_down

MAX_RECOVERY_S = 10.0
"""How long to wait for a server to come back that a row brought down."""
_PAUSE_S = 0.25
WriteLoad = Callable[[Load], Awaitable[Sequence[Outcome]]]
Ping = Callable[[], Awaitable[object]]


class SplitWriter:
    """Writes loads by halves, each in its own transaction.

    ``write_load`` writes a load; ``ping`` raises an error while the server is unreachable.
    """

    def __init__(self, write_load: WriteLoad, ping: Ping, location: str) -> None:
        self._write_load = write_load
        self._ping = ping
        self._location = location

    async def write(self, load: Load) -> Sequence[Outcome]:
        """Return an outcome per item; an item that ends the connection on its own is retried."""
        outcomes: list[Outcome] = []
        parts = deque(split_load(load) if len(load.items) > 1 else [load])
        while parts:
            part = parts.popleft()
            try:
                outcomes += await self._write_part(part, parts)
            except Exception as error:
                rest = len(load.items) - len(outcomes)
                return [*outcomes, *[as_down(error, self._location)] * (rest or not load.items)]
        return outcomes

    async def _write_part(self, part: Load, parts: deque[Load]) -> Sequence[Outcome]:
        try:
            return (await self._write_load(part))[: len(part.items)]
        except ConnectionLost as error:
            if not part.items:
                raise
            await self._wait_until_back(error)
            if len(part.items) > 1:
                parts.extendleft(reversed(split_load(part)))
                return ()
            if part.start is not None:
                await self._write_load(without_items(part))
            return [Retry("connection lost", f"while this row was written: {error}")]

    async def _wait_until_back(self, error: ConnectionLost) -> None:
        """Wait until the server responds again; raise the error if it does not."""
        for _ in range(int(MAX_RECOVERY_S / _PAUSE_S)):
            try:
                await self._ping()
            except Exception:
                await asyncio.sleep(_PAUSE_S)
            else:
                return
        raise error
