"""Counting a million troubles by cause takes its time, however many people ask for it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from busway.lane import Group, Query

LONG_S = 0.05
REUSED = 9.0
"""How many times as long as it took a long count is given again: it takes a tenth of a processor."""
_KEPT = 8


class Grouping:
    """Remembers counts that took long, for a while."""

    def __init__(self) -> None:
        self._known: dict[Query, tuple[float, Sequence[Group]]] = {}

    async def of(
        self, query: Query, count: Callable[[], Awaitable[Sequence[Group]]]
    ) -> Sequence[Group]:
        """Return what a query counts, as it was a moment ago where that took long."""
        began = time.monotonic()
        until, found = self._known.get(query, (began, ()))
        if began < until:
            return found
        found = await count()
        now = time.monotonic()
        self._known = {one: known for one, known in self._known.items() if known[0] > now}
        if now - began >= LONG_S and len(self._known) < _KEPT:
            self._known[query] = (now + REUSED * (now - began), found)
        return found
