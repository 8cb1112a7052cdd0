"""Tells an installation that is slow from one that stands still."""

from __future__ import annotations

import time

STUCK_S = 180.0


class Progress:
    """Knows when what is left to do became less last; how long all of it takes does not matter."""

    def __init__(self) -> None:
        self._least: int | None = None
        self._since = time.monotonic()

    def stuck(self, left: int) -> bool:
        """Note how much is left; say whether it has not become less for a long time."""
        if self._least is None or left < self._least:
            self._least, self._since = left, time.monotonic()
        return time.monotonic() - self._since > STUCK_S
