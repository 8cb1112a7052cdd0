"""What must hold of a change to the ledger before an engine stores it."""

from __future__ import annotations

from collections.abc import Sequence

from busway.lane import Counts, Resolved, Settlement, State, Trouble, Verdict


def check_settlement(settlement: Settlement) -> None:
    """Raise ``ValueError`` when the parts of a settlement do not add up."""
    counts, troubles = settlement.counts, settlement.troubles
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
        _check_trouble(trouble, settlement)


def check_verdict(verdict: Verdict) -> None:
    """Raise ``ValueError`` when a verdict would move a trouble to another place."""
    if isinstance(verdict.became, Trouble):
        _check_trouble(verdict.became, verdict)
        if verdict.became.offset != verdict.offset:
            raise ValueError(f"{_lane(verdict)}: offset {verdict.offset} cannot become another")


def moved(before: State, became: str, count: int = 1) -> Counts:
    """Return what a lane's counts change by when troubles become something else."""
    return Counts(**{before: -count}) + Counts(**{became: count})


def resolved(trouble: Trouble, verdict: Verdict) -> Sequence[Resolved]:
    """Return what is remembered of a trouble that goes: nothing, where nothing had failed."""
    if isinstance(verdict.became, Trouble) or not (trouble.failures or verdict.who):
        return ()
    return (
        Resolved(
            trouble.flow,
            trouble.partition,
            trouble.offset,
            trouble.event_id,
            verdict.became,
            verdict.at,
            trouble.attempts,
            trouble.failures,
            trouble.event_key,
            verdict.version,
            verdict.who,
            verdict.reason,
        ),
    )


def _check_trouble(trouble: Trouble, owner: Settlement | Verdict) -> None:
    if (trouble.flow, trouble.partition) != (owner.flow, owner.partition):
        raise ValueError(f"{_lane(owner)}: a trouble of {_lane(trouble)} does not belong here")
    if trouble.state == "parked" and trouble.due is None and trouble.key is None:
        raise ValueError(f"{_lane(owner)}: offset {trouble.offset} is parked without due or key")


def _lane(record: Settlement | Verdict | Trouble) -> str:
    return f"flow {record.flow!r} partition {record.partition}"
