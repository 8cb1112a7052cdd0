"""Before anything is taken or worked: where the log lost what lanes had read, it goes on behind.

A log that begins again below a lane's cursor would give new events offsets that the lane takes for
settled, and they would be skipped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import structlog

from busway.lane import Lane, is_replay_lane
from busway.ports import Ledger, Log
from busway.settlement import OffsetRange

_log = structlog.get_logger("busway")


async def skip_log_gaps(log: Log, ledger: Ledger) -> None:
    """Advance each partition that ends before a flow's cursor to the highest one, and log the gap.

    Several processes may do so at once: one of them logs it. Cursors of replays do not count.
    """
    lanes: defaultdict[int, list[Lane]] = defaultdict(list)
    for lane in await ledger.lanes():
        if not is_replay_lane(lane.flow):
            lanes[lane.partition].append(lane)
    for partition, readers in lanes.items():
        furthest = max(lane.cursor for lane in readers)
        end = await log.skip_to(partition, furthest)
        if end < furthest:
            _log_gap(OffsetRange(partition, end, furthest), readers)


def _log_gap(lost: OffsetRange, lanes: Sequence[Lane]) -> None:
    _log.error(
        "the log ends before the flows' cursors (events were lost); new events are appended"
        " after the highest cursor",
        partition=lost.partition,
        start=lost.start,
        end=lost.end,
        count=lost.end - lost.start,
        read_by={
            lane.flow: min(lane.cursor, lost.end) for lane in lanes if lane.cursor > lost.start
        },
        missed_by=[lane.flow for lane in lanes if lane.cursor < lost.end],
        why="its store was purged, restored from an older backup, or had not synced them",
        fix="flows that had not read them cannot deliver them: stop Busway and restore the log from"
        " a later backup before anything is appended, or have their source send them again",
    )
