"""What must hold of a change to the ledger before an engine stores it."""

from __future__ import annotations

from collections.abc import Sequence

from busway.lane import (
    Counts,
    FailedEvent,
    FailedEventState,
    Resolution,
    ResolvedEvent,
    Settlement,
)


def check_settlement(settlement: Settlement) -> None:
    """Raise ``ValueError`` when the parts of a settlement do not add up."""
    counts, troubles = settlement.counts, settlement.failed_events
    if min(counts.values()) < 0 or counts.total != settlement.end - settlement.start:
        raise ValueError(f"{_lane(settlement)}: {counts} is not {settlement.end} less the start")
    states = [trouble.state for trouble in troubles]
    if (states.count("parked"), states.count("dead")) != (counts.parked, counts.dead):
        raise ValueError(f"{_lane(settlement)}: {counts} does not count its troubles")
    offsets = {trouble.offset for trouble in troubles}
    inside = all(settlement.start <= offset < settlement.end for offset in offsets)
    if len(offsets) != len(troubles) or not inside:
        raise ValueError(f"{_lane(settlement)}: a trouble is outside, or there twice")
    for trouble in troubles:
        _check_failed_event(trouble, settlement)


def check_resolution(resolution: Resolution) -> None:
    """Raise ``ValueError`` when a verdict would move a trouble to another place."""
    if isinstance(resolution.outcome, FailedEvent):
        _check_failed_event(resolution.outcome, resolution)
        if resolution.outcome.offset != resolution.offset:
            raise ValueError(
                f"{_lane(resolution)}: offset {resolution.offset} cannot become another"
            )


def count_change(before: FailedEventState, after: str, count: int = 1) -> Counts:
    """Return what a lane's counts change by when troubles become something else."""
    return Counts(**{before: -count}) + Counts(**{after: count})


def resolved_events(failed_event: FailedEvent, resolution: Resolution) -> Sequence[ResolvedEvent]:
    """Return what is remembered of a trouble that goes: nothing, where nothing had failed."""
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
        raise ValueError(f"{_lane(owner)}: a trouble of {_lane(failed_event)} does not belong here")
    if failed_event.state == "parked" and failed_event.due is None and failed_event.key is None:
        raise ValueError(
            f"{_lane(owner)}: offset {failed_event.offset} is parked without due or key"
        )


def _lane(record: Settlement | Resolution | FailedEvent) -> str:
    return f"flow {record.flow!r} partition {record.partition}"
