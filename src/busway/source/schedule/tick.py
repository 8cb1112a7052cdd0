"""Due ticks of a schedule, and those skipped after downtime. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Literal

import msgspec

from busway.source.schedule.timing import Timing

CatchUp = Literal["all", "one", "none"]
"""Which missed ticks become events: all, the latest one, or none."""
MISSED_AFTER = timedelta(minutes=1)
"""A tick later than this is missed; below it is on time, as a takeover takes seconds."""
MAX_TICKS = 1_000
"""Most ticks that one call evaluates."""


class ScheduleProgress(msgspec.Struct, frozen=True):
    """The progress of a schedule, which is its position.

    ``timing`` is the declaration as text, ``after`` the last finished tick or the time when the
    schedule was first seen. ``missed`` ticks were skipped since the last event.
    """

    timing: str
    after: datetime
    missed: int = 0


class Tick(msgspec.Struct, frozen=True):
    """A scheduled time that is due; ``missed`` ticks before it were skipped."""

    time: datetime
    missed: int = 0


class Ticks(msgspec.Struct, frozen=True):
    """The due ``ticks`` in order, the number of skipped ticks, and the progress after both.

    ``next_at`` is the time of the next tick, ``None`` if there is none; it is in the past if more
    ticks are due.
    """

    ticks: Sequence[Tick]
    skipped: int
    progress: ScheduleProgress
    next_at: datetime | None


def begin(timing: Timing, before: ScheduleProgress | None, now: datetime) -> ScheduleProgress:
    """Return the initial progress; a new or changed schedule begins after now."""
    if before is None:
        return ScheduleProgress(str(timing), now)
    if before.timing != str(timing):
        return ScheduleProgress(str(timing), max(now, before.after))
    return before


def due(timing: Timing, progress: ScheduleProgress, now: datetime, catch_up: CatchUp) -> Ticks:
    """Return the ticks that are due by now, at most 1,000 per call.

    >>> from datetime import UTC
    >>> from busway.source.schedule.timing import Interval
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> hourly, progress = Interval(timedelta(hours=1)), ScheduleProgress("every 3600s", noon)
    >>> result = due(hourly, progress, noon + timedelta(hours=3), "one")
    >>> [(tick.time.hour, tick.missed) for tick in result.ticks], result.skipped
    ([(15, 2)], 2)
    """
    coming = list(islice(timing.after(progress.after), MAX_TICKS + 1))
    times = [time for time in coming[:MAX_TICKS] if time <= now]
    next_at = coming[len(times)] if len(times) < len(coming) else None
    if not times:
        return Ticks((), 0, progress, next_at)
    behind = next_at is not None and next_at <= now
    kept = _kept(times, progress, now, catch_up, more=behind)
    ticks = [Tick(time) for time in kept]
    skipped = len(times) - len(kept)
    missed = progress.missed + skipped
    if ticks:
        ticks[0], missed = Tick(ticks[0].time, missed), 0
    after = msgspec.structs.replace(progress, after=times[-1], missed=missed)
    return Ticks(ticks, skipped, after, next_at)


def _kept(
    times: Sequence[datetime],
    progress: ScheduleProgress,
    now: datetime,
    catch_up: CatchUp,
    *,
    more: bool,
) -> Sequence[datetime]:
    """Return the times that become events; ``more`` says that more are due after them."""
    if catch_up == "all":
        return times
    if catch_up == "none":
        return [time for time in times if now - time < MISSED_AFTER]
    if not progress.missed and now - times[0] < MISSED_AFTER:
        return times
    return () if more else times[-1:]
