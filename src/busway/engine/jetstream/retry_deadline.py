"""Retry while the servers elect another leader, for a limited time."""

from __future__ import annotations

import asyncio
import random

from busway.errors import StoreError

RETRY_TIMEOUT_S = 20.0
"""The election of a new leader may take some 10 s."""
_PAUSES_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)


class RetryDeadline:
    """Pauses between attempts, longer and longer, until there is no time left."""

    def __init__(self, failure: str, timeout_s: float = RETRY_TIMEOUT_S) -> None:
        self._failure = failure
        self._timeout_s = timeout_s
        self._started_at = asyncio.get_running_loop().time()
        self._attempts = 0

    @property
    def has_passed(self) -> bool:
        """Whether there is no time left."""
        return asyncio.get_running_loop().time() - self._started_at > self._timeout_s

    async def pause(self, reason: object) -> None:
        """Wait a little; raises :class:`StoreError` with the reason if there is no time left."""
        if self.has_passed:
            raise StoreError(f"{reason}; {self._failure}")
        longest = _PAUSES_S[min(self._attempts, len(_PAUSES_S) - 1)]
        self._attempts += 1
        await asyncio.sleep(longest * random.uniform(0.3, 1.0))
