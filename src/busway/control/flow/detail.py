"""One flow in full: its declaration, its numbers, and each of its lanes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from busway.control.context import ControlContext
from busway.control.flow.status import FlowStatus, current_statuses
from busway.control.record import flow_records
from busway.errors import NotFound
from busway.lane import Counts, Lane


class LaneStatus(msgspec.Struct, frozen=True):
    """One flow on one partition: its first offset, its next offset, and the end of the log."""

    partition: int
    start: int
    cursor: int
    end: int
    counts: Counts = Counts()


class FlowDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A flow: its numbers, where it is declared, its rule and steps, its lanes.

    ``rule`` is its event pattern.
    """

    status: FlowStatus
    location: str = ""
    rule: dict[str, Any] | None = None
    steps: tuple[str, ...] = ()
    ordered: bool = False
    lanes: tuple[LaneStatus, ...] = ()


async def flow_detail(control: ControlContext, name: str) -> FlowDetail:
    """Return a flow. Raises :class:`NotFound`, with similar names."""
    statuses = {status.name: status for status in await current_statuses(control)}
    if name not in statuses:
        raise NotFound.named("flow", name, statuses)
    record = (await flow_records(control.ledger)).get(name)
    lanes = [lane for lane in await control.ledger.lanes() if lane.flow == name]
    detail = FlowDetail(
        status=statuses[name],
        lanes=tuple(await _lane_statuses(control, lanes)),
    )
    if record is None:
        return detail
    return msgspec.structs.replace(
        detail,
        location=record.location,
        rule=record.rule,
        steps=record.steps,
        ordered=record.ordered,
    )


async def _lane_statuses(control: ControlContext, lanes: Sequence[Lane]) -> list[LaneStatus]:
    return [
        LaneStatus(
            lane.partition,
            lane.start,
            lane.cursor,
            (await control.log.bounds(lane.partition)).end,
            lane.counts,
        )
        for lane in lanes
    ]
