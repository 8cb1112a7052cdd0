"""How long something is tried while the servers find another leader."""

from __future__ import annotations

import asyncio
import random

from busway.errors import StoreError

PATIENCE_S = 20.0
"""A new leader may take some 10 s to be found."""
_PAUSES_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


class Patience:
    """Pauses between tries, longer and longer, until there is no time left."""

    def __init__(self, failure: str, longest_s: float = PATIENCE_S) -> None:
        self._failure = failure
        self._longest_s = longest_s
        self._began = asyncio.get_running_loop().time()
        self._tries = 0

    @property
    def over(self) -> bool:
        """Whether there is no time left."""
        return asyncio.get_running_loop().time() - self._began > self._longest_s

    async def pause(self, reason: object) -> None:
        """Wait a little; raises :class:`StoreError` with the reason when there is no time left."""
        if self.over:
            raise StoreError(f"{reason}; {self._failure}")
        longest = _PAUSES_S[min(self._tries, len(_PAUSES_S) - 1)]
        self._tries += 1
        await asyncio.sleep(longest * random.uniform(0.3, 1.0))
