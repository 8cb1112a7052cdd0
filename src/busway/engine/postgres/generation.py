"""The generation of the log: a server that takes over begins another, and may lack the last events.

An offset may then hold another event than before.
"""

from __future__ import annotations

from busway.errors import StoreError


class Generation:
    """Counts how often a connection found another timeline than the connections before."""

    def __init__(self, label: str) -> None:
        self.number = 0
        self._label = label
        self._timeline: str | None = None

    def observe_timeline(self, timeline: str) -> None:
        """Record the timeline of a new connection, before any other statement uses it."""
        self.number += self._timeline not in (None, timeline)
        self._timeline = timeline

    def check_unchanged(self, number: int) -> None:
        """Raise :class:`StoreError` if another generation has begun."""
        if self.number != number:
            raise StoreError(
                f"{self._label}: another server has taken over; the work in progress is checked"
                " again"
            )
