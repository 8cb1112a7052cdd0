"""Which ticks of a schedule are due, and which are passed over after downtime. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

import msgspec

from busway.source.schedule.timing import Timing

CatchUp = Literal["all", "one", "none"]
"""What becomes of ticks that were missed: all come, the latest of them comes, or none."""
MISSED_AFTER = timedelta(minutes=1)
"""A tick that is later than this was missed; until then it is on time: a takeover takes seconds."""
MOST = 1_000
"""The most ticks that one call looks at."""


class Progress(msgspec.Struct, frozen=True):
    """Up to where a schedule is done: its position.

    ``timing`` is the declaration that it is about, ``after`` the last tick that is done, or when
    the schedule was first seen. ``missed`` ticks were passed over since the last event.
    """

    timing: str
    after: datetime
    missed: int = 0


class Tick(msgspec.Struct, frozen=True):
    """A scheduled time that is due; ``missed`` ticks before it were passed over."""

    time: datetime
    missed: int = 0


class Ticks(msgspec.Struct, frozen=True):
    """What is due: ``ticks`` in order, how many are ``passed_over``, the progress after both.

    ``next_at`` is the next time after these, ``None`` if there is none: it is in the past while
    more is due.
    """

    ticks: Sequence[Tick]
    passed_over: int
    progress: Progress
    next_at: datetime | None


def begin(timing: Timing, before: Progress | None, now: datetime) -> Progress:
    """Return where a schedule begins: a new or changed one with the ticks that come after now."""
    if before is None:
        return Progress(str(timing), now)
    if before.timing != str(timing):
        return Progress(str(timing), max(now, before.after))
    return before


def due(timing: Timing, progress: Progress, now: datetime, catch_up: CatchUp) -> Ticks:
    """Return what is due of a schedule by now, of at most 1,000 ticks.

    >>> from datetime import UTC
    >>> from busway.source.schedule.timing import Interval
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> hourly, progress = Interval(timedelta(hours=1)), Progress("every 3600s", noon)
    >>> found = due(hourly, progress, noon + timedelta(hours=3), "one")
    >>> [(tick.time.hour, tick.missed) for tick in found.ticks], found.passed_over
    ([(15, 2)], 2)
    """
    coming = list(islice(timing.after(progress.after), MOST + 1))
    times = [time for time in coming[:MOST] if time <= now]
    next_at = coming[len(times)] if len(times) < len(coming) else None
    if not times:
        return Ticks((), 0, progress, next_at)
    behind = next_at is not None and next_at <= now
    kept = _kept(times, progress, now, catch_up, more=behind)
    ticks = [Tick(time) for time in kept]
    passed_over = len(times) - len(kept)
    missed = progress.missed + passed_over
    if ticks:
        ticks[0], missed = Tick(ticks[0].time, missed), 0
    after = msgspec.structs.replace(progress, after=times[-1], missed=missed)
    return Ticks(ticks, passed_over, after, next_at)


def _kept(
    times: Sequence[datetime], progress: Progress, now: datetime, catch_up: CatchUp, *, more: bool
) -> Sequence[datetime]:
    """Return those of the times that become events; ``more`` are due after them."""
    if catch_up == "all":
        return times
    if catch_up == "none":
        return [time for time in times if now - time < MISSED_AFTER]
    if not progress.missed and now - times[0] < MISSED_AFTER:
        return times
    return () if more else times[-1:]
