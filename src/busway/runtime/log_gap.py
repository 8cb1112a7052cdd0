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

_log = structlog.get_logger("busway")


async def skip_log_gaps(log: Log, ledger: Ledger) -> None:
    """Have each partition that ends before a cursor go on at the furthest one, and say so.

    Several processes may at once: one of them says it. Replays end where they were to end.
    """
    lanes: defaultdict[int, list[Lane]] = defaultdict(list)
    for lane in await ledger.lanes():
        if not is_replay_lane(lane.flow):
            lanes[lane.partition].append(lane)
    for partition, found in lanes.items():
        furthest = max(lane.cursor for lane in found)
        end = await log.skip_to(partition, furthest)
        if end < furthest:
            _log_gap(partition, (end, furthest), found)


def _log_gap(partition: int, lost: tuple[int, int], lanes: Sequence[Lane]) -> None:
    start, end = lost
    _log.error(
        "the log ends before the flows' cursors (events were lost); new events are appended"
        " after the highest cursor",
        partition=partition,
        start=start,
        end=end,
        count=end - start,
        read_by={one.flow: min(one.cursor, end) for one in lanes if one.cursor > start},
        missed_by=[one.flow for one in lanes if one.cursor < end],
        why="its store was purged, restored from an older backup, or had not synced them",
        fix="flows that had not read them cannot deliver them: stop Busway and restore the log from"
        " a later backup before anything is appended, or have their source send them again",
    )
