"""The beat: a worker tells again and again that it lives; its loop does nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from busway.clock import Clock
from busway.control.worker import WORKER, WorkerRecord
from busway.delivery.share import DEAD_AFTER_S
from busway.errors import StoreError
from busway.lane import Change
from busway.ports import Ledger
from busway.runtime.loop import Loop

BEAT_EVERY_S = 0.5
SURE_S = DEAD_AFTER_S - 0.5
"""How long after a beat a worker is sure that the others take it for alive."""
BLIND_S = DEAD_AFTER_S / 2
"""After so long without a beat it cannot tell whether others could beat meanwhile."""

_NEVER = float("-inf")


class Beat:
    """Beats in the ledger, and knows whether the others must take this worker for alive.

    Each beat in time makes that certain for a while. After a late one the others may have its lanes
    already, so it is certain again only when they have been looked at (``confirm``).
    """

    def __init__(
        self, ledger: Ledger, clock: Clock, worker: str, record: Callable[[int], WorkerRecord]
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._name = WORKER + worker
        self._record = record
        self._number = 0
        self._sure_since = self._began_at = self._told_at = _NEVER
        self._was_blind = False
        self._silent_s = 0.0
        self._telling = asyncio.Lock()

    def sure(self) -> bool:
        """Say whether the others must still take this worker for alive."""
        return self._clock.monotonic() - self._sure_since < SURE_S

    def age_s(self) -> float:
        """Return how long ago the last beat was that arrived, in seconds."""
        return self._clock.monotonic() - self._began_at

    def silent_s(self) -> float:
        """Return how long the last time was in which others could take it for dead; 0: none yet."""
        silent_s = 0.0 if self._began_at == _NEVER else self.age_s()
        return silent_s if silent_s >= DEAD_AFTER_S else self._silent_s

    @property
    def last(self) -> float:
        """When the last beat that arrived began, on the clock; for ``confirm``."""
        return self._began_at

    async def turn(self, loop: Loop) -> None:
        """Beat once, and wait."""
        await self.tell()
        with loop.idle():
            await self._clock.sleep(BEAT_EVERY_S)

    async def tell(self) -> None:
        """Beat. Raises :class:`StoreError` where the ledger does not take it in time."""
        async with self._telling:
            began = self._clock.monotonic()
            self._number += 1
            try:
                async with asyncio.timeout(DEAD_AFTER_S):
                    await self._ledger.put(self._name, _encode(self._record(self._number)))
            except TimeoutError:
                raise StoreError("the ledger did not take a beat in time") from None
            if self.sure():  # else somebody may have taken it for dead before this arrived
                self._sure_since = began
            self._was_blind |= self._is_blind()
            self._silent_s = self.silent_s()
            self._began_at, self._told_at = began, self._clock.monotonic()

    async def begin(self) -> None:
        """Be known to the others before anything is taken."""
        if self._began_at == _NEVER:
            await self.tell()

    def confirm(self, beat: float) -> None:
        """Be sure since a beat after which it was looked which lanes are still its own."""
        self._sure_since = max(self._sure_since, beat)

    def blind(self) -> bool:
        """Say whether since the last call there was a time in which perhaps nobody could beat."""
        was, self._was_blind = self._was_blind or self._is_blind(), False
        return was

    async def end(self) -> None:
        """Be known to nobody any more."""
        self._sure_since = self._began_at = _NEVER
        await self._ledger.change([Change(self._name, None)])

    def _is_blind(self) -> bool:
        return self._clock.monotonic() - self._told_at > BLIND_S


_encode = msgspec.json.Encoder().encode
