"""Replay: selection of the events of the log that a flow processes again. Pure.

A replay has its own lanes, named ``<flow>@<id>``, over a range of offsets that is fixed when it
starts. How it loads events depends on what the destination knows:

========== =========================================================================================
``own``    all selected events, under the replay's own name: into a file, or forced
``known``  the destination keeps positions: events delivered under the flow's name are skipped; the
           others are loaded under the flow's name if the destination has decided their offsets (so
           that they stay exactly once), else under the replay's own name
``record`` any other destination: events delivered according to the ledger are skipped; the others
           are loaded under the flow's name, with the original idempotency keys
========== =========================================================================================
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from busway.lane import REPLAY_SEPARATOR
from busway.ports import DeliveredRange
from busway.settlement import SettledRange

ReplayMode = Literal["own", "known", "record"]


class ReplayOffsets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Offsets of a partition from ``start`` up to ``end``, ``None``: unlimited."""

    partition: int
    start: int = 0
    end: int | None = None

    def __contains__(self, offset: int) -> bool:
        return self.start <= offset and (self.end is None or offset < self.end)


class ReplaySelection(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename={"since": "from", "until": "to"},
):
    """The events to replay: they match all given criteria and the flow's own rule.

    ``since`` (inclusive) and ``until`` (exclusive) limit the time of the append, ``offsets`` are
    ranges of which any may match, ``when`` is an event pattern, ``ids`` are event ids. In JSON the
    times are ``from`` and ``to``.
    """

    since: datetime | None = None
    until: datetime | None = None
    offsets: tuple[ReplayOffsets, ...] = ()
    when: dict[str, Any] | None = None
    ids: tuple[str, ...] = ()

    @property
    def is_by_content(self) -> bool:
        """Whether it selects by the content of events, not only by time or offset."""
        return self.when is not None or bool(self.ids)

    def ranges_in(self, partition: int) -> Sequence[ReplayOffsets]:
        """Return the selected ranges of offsets in a partition."""
        if not self.offsets:
            return (ReplayOffsets(partition),)
        return [offset for offset in self.offsets if offset.partition == partition]


class ReplayRange(msgspec.Struct, frozen=True):
    """The offsets from ``start`` up to ``end`` that a replay reads in one partition."""

    partition: int
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


class SelectableRange(msgspec.Struct, frozen=True):
    """The offsets that can be replayed in a partition: from the first kept one up to the cursor.

    ``since`` and ``until`` are the offsets of the selection's times.
    """

    partition: int
    first: int
    cursor: int
    since: int | None = None
    until: int | None = None


def replay_lane_name(flow: str, id: str) -> str:
    """Return the name of a replay's own lanes."""
    return f"{flow}{REPLAY_SEPARATOR}{id}"


def replay_range(selection: ReplaySelection, selectable: SelectableRange) -> ReplayRange | None:
    """Return the range that a replay reads in one partition, ``None`` if it is empty."""
    ranges = selection.ranges_in(selectable.partition)
    if not ranges:
        return None
    ends = [selectable.cursor if each.end is None else each.end for each in ranges]
    start = max(selectable.first, min(each.start for each in ranges), selectable.since or 0)
    end = min(selectable.cursor, max(ends))
    end = end if selectable.until is None else min(end, selectable.until)
    return ReplayRange(selectable.partition, start, end) if start < end else None


def replay_mode(*, to_file: bool, force: bool, keeps_positions: bool) -> ReplayMode:
    """Return the mode of a replay."""
    if to_file or force:
        return "own"
    return "known" if keeps_positions else "record"


def goes_under_flow_name(
    offset: int, delivered_range: DeliveredRange, failed_offsets: Collection[int]
) -> bool:
    """Return whether a replayed event is loaded under the flow's name, with positions.

    It is if the destination has decided its offset, or if the flow itself may still retry it.
    """
    decided = delivered_range.start <= offset < delivered_range.end
    return decided or offset in delivered_range.delivered or offset in failed_offsets


def is_delivered_by_ledger(
    offset: int, ranges: Sequence[SettledRange], version: str, failed_offsets: Collection[int]
) -> bool:
    """Return whether, by the ledger, this version of the flow has delivered an event.

    ``ranges`` are the settled ranges of its lane, in order. ``failed_offsets`` are parked, dead or
    discarded. An event that a step filtered counts as delivered: it would be filtered again.
    """
    index = bisect_right(ranges, offset, key=lambda settled: settled.start) - 1
    if index < 0 or offset in failed_offsets:
        return False
    return offset < ranges[index].end and ranges[index].version == version
