"""Find the event over which a lane's work fails, so that it fails alone and the lane goes on.

What a step or a sink raises is an outcome. What raises all the same, because of an event that
nobody thought of, is looked for by halves; an event that fails so several times alone is parked
like any that fails.
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
"""How often one event alone is tried before it is to blame."""


def exception_failure(text: ExceptionText) -> FailedAttempt:
    """Return why an event failed over which the work on it raised."""
    return FailedAttempt("step", text.name, text.reason, text.traceback)


class Isolation:
    """How much of what was read a lane works at a time, since its work has failed."""

    def __init__(self) -> None:
        self._limit: int | None = None
        self._end = -1
        self._solo_failures = 0

    def narrow(self, batch: LaneBatch) -> LaneBatch:
        """Return the part of a batch to work now."""
        return limit_events(batch, self._limit) if batch.start < self._end else batch

    async def run(
        self, attempt: Awaitable[int], batch: LaneBatch, lane_outcomes: LaneOutcomes
    ) -> int | None:
        """Return the cursor after a batch was worked, ``None`` when to look at it again.

        Raises what it was that failed where no event of it is to blame, or not yet.
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
        """Take a smaller part next time; of one event decide after some tries that it failed."""
        self._end = max(self._end, batch.end)
        left = [one for one in batch.wanted if one[0] not in lane_outcomes]
        if len(left) > 1:
            self._limit = max(1, len(batch.wanted) // 2)
            return True
        self._solo_failures += 1
        if not left or self._solo_failures < MAX_SOLO_FAILURES:
            return False
        self._solo_failures = 0
        ((offset, event),) = left
        lane_outcomes.add([DecidedEvent(offset, event, exception_failure(text))])
        return True
