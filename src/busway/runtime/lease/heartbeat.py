"""The beat: a worker tells again and again that it lives; its loop does nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from busway.clock import Clock
from busway.control.worker import WORKER, WorkerRecord
from busway.delivery.rebalance import DEAD_AFTER_S
from busway.errors import StoreError
from busway.named_value import ValueChange
from busway.ports import Ledger
from busway.runtime.loop import Loop

HEARTBEAT_INTERVAL_S = 0.5
TRUSTED_S = DEAD_AFTER_S - 0.5
"""How long after a beat a worker is sure that the others take it for alive."""
BLIND_AFTER_S = DEAD_AFTER_S / 2
"""After so long without a beat it cannot tell whether others could beat meanwhile."""

_NEVER = float("-inf")


class Heartbeat:
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
        self._sequence = 0
        self._trusted_since = self._sent_at = self._acknowledged_at = _NEVER
        self._was_blind = False
        self._silent_s = 0.0
        self._sending = asyncio.Lock()

    def is_trusted(self) -> bool:
        """Say whether the others must still take this worker for alive."""
        return self._clock.monotonic() - self._trusted_since < TRUSTED_S

    def age_s(self) -> float:
        """Return the age of the last heartbeat that the ledger accepted, in seconds."""
        return self._clock.monotonic() - self._sent_at

    def silent_s(self) -> float:
        """Return how long the last time was in which others could take it for dead; 0: none yet."""
        silent_s = 0.0 if self._sent_at == _NEVER else self.age_s()
        return silent_s if silent_s >= DEAD_AFTER_S else self._silent_s

    @property
    def last_sent_at(self) -> float:
        """The monotonic time at which the last accepted heartbeat began; for ``confirm``."""
        return self._sent_at

    async def run_once(self, loop: Loop) -> None:
        """Beat once, and wait."""
        await self.send()
        with loop.interruptible():
            await self._clock.sleep(HEARTBEAT_INTERVAL_S)

    async def send(self) -> None:
        """Beat. Raises :class:`StoreError` where the ledger does not take it in time."""
        async with self._sending:
            began = self._clock.monotonic()
            self._sequence += 1
            try:
                async with asyncio.timeout(DEAD_AFTER_S):
                    await self._ledger.put_value(self._name, _encode(self._record(self._sequence)))
            except TimeoutError:
                raise StoreError("the ledger did not take a beat in time") from None
            if self.is_trusted():  # else somebody may have taken it for dead before this arrived
                self._trusted_since = began
            self._was_blind |= self._is_blind()
            self._silent_s = self.silent_s()
            self._sent_at, self._acknowledged_at = began, self._clock.monotonic()

    async def register(self) -> None:
        """Be known to the others before anything is taken."""
        if self._sent_at == _NEVER:
            await self.send()

    def confirm(self, sent_at: float) -> None:
        """Be sure since a beat after which it was looked which lanes are still its own."""
        self._trusted_since = max(self._trusted_since, sent_at)

    def was_blind(self) -> bool:
        """Say whether since the last call there was a time in which perhaps nobody could beat."""
        was, self._was_blind = self._was_blind or self._is_blind(), False
        return was

    async def deregister(self) -> None:
        """Be known to nobody any more."""
        self._trusted_since = self._sent_at = _NEVER
        await self._ledger.change_values([ValueChange(self._name, None)])

    def _is_blind(self) -> bool:
        return self._clock.monotonic() - self._acknowledged_at > BLIND_AFTER_S


_encode = msgspec.json.Encoder().encode
