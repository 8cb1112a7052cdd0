"""Records to test a ledger with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec

from busway.failed_event import FailedEvent, Resolution
from busway.lane import Counts
from busway.settlement import Settlement

AT = datetime(2030, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def failed_event(offset: int, key: str | None = None, **changes: Any) -> FailedEvent:
    """Return a parked event of flow ``f`` on partition 0, due at ``AT``."""
    plain = FailedEvent("f", 0, offset, b"{}", f"id-{offset}", "parked", AT, 1, AT, key)
    return msgspec.structs.replace(plain, **changes)


def settlement(start: int, end: int, *failed_events: FailedEvent, **changes: Any) -> Settlement:
    """Return a settlement of flow ``f`` on partition 0; all other events are delivered."""
    states = [each.state for each in failed_events]
    counts = Counts(
        delivered=end - start - len(states),
        parked=states.count("parked"),
        dead=states.count("dead"),
    )
    plain = Settlement("f", 0, start, end, AT, "v1", counts, failed_events)
    return msgspec.structs.replace(plain, **changes)


ResolutionOutcome = Literal["delivered", "filtered", "discarded"] | FailedEvent


def resolution(failed: FailedEvent, outcome: ResolutionOutcome, at: datetime = AT) -> Resolution:
    """Return a resolution of a failed event in its current state."""
    return Resolution(
        failed.flow, failed.partition, failed.offset, failed.attempts, failed.state, outcome, at
    )
