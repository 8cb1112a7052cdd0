"""Find the event over which a lane's work fails, so that it fails alone and the lane goes on.

What a step or a sink raises is an outcome. What raises all the same, because of an event that
nobody thought of, is looked for by halves; an event that fails so several times alone is parked
like any that fails.
"""

from __future__ import annotations

from collections.abc import Awaitable

from busway.delivery.settle import Decided, Problem
from busway.errors import StoreError
from busway.exception_text import ExceptionText, exception_text
from busway.runtime.lane.fate import Fates
from busway.runtime.lane.passage import Stale
from busway.runtime.lane.portion import Portion, shortened

TRIES = 3
"""How often one event alone is tried before it is to blame."""


def problem_of(text: ExceptionText) -> Problem:
    """Return why an event failed over which the work on it raised."""
    return Problem("step", text.name, text.reason, text.traceback)


class Isolation:
    """How much of what was read a lane works at a time, since its work has failed."""

    def __init__(self) -> None:
        self._most: int | None = None
        self._end = -1
        self._tries = 0

    def narrowed(self, portion: Portion) -> Portion:
        """Return the part of a portion to work now."""
        return shortened(portion, self._most) if portion.start < self._end else portion

    async def worked(self, passage: Awaitable[int], portion: Portion, fates: Fates) -> int | None:
        """Return the cursor after a portion was worked, ``None`` when to look at it again.

        Raises what it was that failed where no event of it is to blame, or not yet.
        """
        try:
            cursor = await passage
        except Stale:
            return None
        except StoreError:
            raise
        except Exception as error:
            if not self._narrows(portion, fates, exception_text(error)):
                raise
            return None
        self._tries = 0
        self._most = None if self._most is None or cursor >= self._end else 2 * self._most
        return cursor

    def _narrows(self, portion: Portion, fates: Fates, text: ExceptionText) -> bool:
        """Take a smaller part next time; of one event decide after some tries that it failed."""
        self._end = max(self._end, portion.end)
        left = [one for one in portion.wanted if one[0] not in fates]
        if len(left) > 1:
            self._most = max(1, len(portion.wanted) // 2)
            return True
        self._tries += 1
        if not left or self._tries < TRIES:
            return False
        self._tries = 0
        ((offset, event),) = left
        fates.add([Decided(offset, event, problem_of(text))])
        return True
