"""Which history a server is on: one that takes over begins another, and may lack the last events.

What another one has at an offset need not be what was read there before.
"""

from __future__ import annotations

from busway.errors import StoreError


class Generation:
    """Counts how often connections came to another history than the ones before."""

    def __init__(self, label: str) -> None:
        self.number = 0
        self._label = label
        self._timeline: str | None = None

    def observe_timeline(self, timeline: str) -> None:
        """Note what a new connection came to, before anything else is asked over it."""
        self.number += self._timeline not in (None, timeline)
        self._timeline = timeline

    def check_unchanged(self, number: int) -> None:
        """Raise :class:`StoreError` where another one has begun."""
        if self.number != number:
            raise StoreError(
                f"{self._label}: another server has taken over meanwhile; what was under way is"
                " looked at anew"
            )
