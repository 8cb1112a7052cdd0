"""Isolate the event that makes processing a batch raise, so that the lane goes on without it.

What a step or a sink raises is an outcome. If anything else raises because of an event, that event
is found by bisection; after several failures alone it is parked like any failed event.
"""

from __future__ import annotations

from collections.abc import Awaitable

from busway.delivery.settlement import DecidedEvent, FailedAttempt
from busway.errors import StoreError
from busway.exception_text import ExceptionText, exception_text
from busway.runtime.lane.attempt import FencedError
from busway.runtime.lane.batch import LaneBatch, limit_events
from busway.runtime.lane.outcome import LaneOutcomes

MAX_SOLO_FAILURES = 3
"""How many times a single event is tried before it counts as the cause."""


def exception_failure(text: ExceptionText) -> FailedAttempt:
    """Return the failed attempt at an event whose processing raised."""
    return FailedAttempt("step", text.name, text.reason, text.traceback)


class Isolation:
    """Limits the size of a lane's batches after processing one has raised."""

    def __init__(self) -> None:
        self._limit: int | None = None
        self._end = -1
        self._solo_failures = 0

    def narrow(self, batch: LaneBatch) -> LaneBatch:
        """Return the part of a batch to process now."""
        return limit_events(batch, self._limit) if batch.start < self._end else batch

    async def run(
        self, attempt: Awaitable[int], batch: LaneBatch, lane_outcomes: LaneOutcomes
    ) -> int | None:
        """Return the cursor after a batch, ``None`` if the batch has to be read again.

        Raises the error if no event of the batch counts as its cause, or not yet.
        """
        try:
            cursor = await attempt
        except FencedError:
            return None
        except StoreError:
            raise
        except Exception as error:
            if not self._isolate(batch, lane_outcomes, exception_text(error)):
                raise
            return None
        self._solo_failures = 0
        self._limit = None if self._limit is None or cursor >= self._end else 2 * self._limit
        return cursor

    def _isolate(self, batch: LaneBatch, lane_outcomes: LaneOutcomes, text: ExceptionText) -> bool:
        """Halve the next batch; decide that a single event failed after several tries."""
        self._end = max(self._end, batch.end)
        pending = [(offset, event) for offset, event in batch.wanted if offset not in lane_outcomes]
        if len(pending) > 1:
            self._limit = max(1, len(batch.wanted) // 2)
            return True
        self._solo_failures += 1
        if not pending or self._solo_failures < MAX_SOLO_FAILURES:
            return False
        self._solo_failures = 0
        ((offset, event),) = pending
        lane_outcomes.add([DecidedEvent(offset, event, exception_failure(text))])
        return True
