"""The invariants of ledger changes, checked before an engine stores them."""

from __future__ import annotations

from collections.abc import Sequence

from busway.failed_event import FailedEvent, FailedEventState, Resolution, ResolvedEvent
from busway.lane import Counts
from busway.settlement import Settlement


def check_settlement(settlement: Settlement) -> None:
    """Raise ``ValueError`` if a settlement's counts, range and failed events are inconsistent."""
    counts, failed_events = settlement.counts, settlement.failed_events
    if min(counts.values()) < 0 or counts.total != settlement.end - settlement.start:
        raise ValueError(f"{_lane(settlement)}: {counts} does not add up to end - start")
    states = [event.state for event in failed_events]
    if (states.count("parked"), states.count("dead")) != (counts.parked, counts.dead):
        raise ValueError(f"{_lane(settlement)}: {counts} does not match its failed events")
    offsets = {event.offset for event in failed_events}
    inside = all(settlement.start <= offset < settlement.end for offset in offsets)
    if len(offsets) != len(failed_events) or not inside:
        raise ValueError(f"{_lane(settlement)}: a failed event is out of range or duplicated")
    for event in failed_events:
        _check_failed_event(event, settlement)


def check_resolution(resolution: Resolution) -> None:
    """Raise ``ValueError`` if a resolution would move a failed event to another lane or offset."""
    if isinstance(resolution.outcome, FailedEvent):
        _check_failed_event(resolution.outcome, resolution)
        if resolution.outcome.offset != resolution.offset:
            raise ValueError(f"{_lane(resolution)}: offset {resolution.offset} must not change")


def count_change(before: FailedEventState, after: str, count: int = 1) -> Counts:
    """Return the change of a lane's counts when failed events change their state."""
    return Counts(**{before: -count}) + Counts(**{after: count})


def resolved_events(failed_event: FailedEvent, resolution: Resolution) -> Sequence[ResolvedEvent]:
    """Return the history record of a resolved event, if it had a failure or an actor."""
    if isinstance(resolution.outcome, FailedEvent) or not (
        failed_event.failures or resolution.actor
    ):
        return ()
    return (
        ResolvedEvent(
            failed_event.flow,
            failed_event.partition,
            failed_event.offset,
            failed_event.event_id,
            resolution.outcome,
            resolution.at,
            failed_event.attempts,
            failed_event.failures,
            failed_event.event_key,
            resolution.version,
            resolution.actor,
            resolution.reason,
        ),
    )


def _check_failed_event(failed_event: FailedEvent, owner: Settlement | Resolution) -> None:
    if (failed_event.flow, failed_event.partition) != (owner.flow, owner.partition):
        raise ValueError(f"{_lane(owner)}: has a failed event of {_lane(failed_event)}")
    if failed_event.state == "parked" and failed_event.due is None and failed_event.key is None:
        raise ValueError(
            f"{_lane(owner)}: offset {failed_event.offset} is parked without due time or key"
        )


def _lane(record: Settlement | Resolution | FailedEvent) -> str:
    return f"flow {record.flow!r} partition {record.partition}"
