"""Replay: which events of the log it gives to a flow again, and which of them landed before. Pure.

A replay has lanes of its own, named ``<flow>@<id>``, over a range of offsets that is fixed when it
begins. How its loads go to the destination depends on what the destination can know:

========== =========================================================================================
``own``    under the replay's own name, everything that is selected: into a file, or forced
``known``  the destination keeps positions: what landed under the flow's name is skipped; the rest
           goes under the flow's name where the destination has decided it before (so that it stays
           exactly once, whoever else tries), under the replay's own where it has not
``record`` any other destination: what the ledger's record says landed is skipped; the rest goes
           under the flow's name, with the idempotency keys of the first time
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
    """Offsets of a partition from ``start`` up to ``end``, ``None`` for all that there are."""

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
    """Which events: those that fit all that is given, and the flow's own rule.

    ``since`` (inclusive) and ``until`` (exclusive) are about when the bus took them, ``offsets``
    about where they are (in any of these ranges), ``when`` is an event pattern, ``ids`` are event
    ids. As JSON the times are ``from`` and ``to``.
    """

    since: datetime | None = None
    until: datetime | None = None
    offsets: tuple[ReplayOffsets, ...] = ()
    when: dict[str, Any] | None = None
    ids: tuple[str, ...] = ()

    @property
    def is_by_content(self) -> bool:
        """Whether it asks about what is in an event, and not only where it is."""
        return self.when is not None or bool(self.ids)

    def ranges_in(self, partition: int) -> Sequence[ReplayOffsets]:
        """Return the ranges of offsets that are selected in a partition."""
        if not self.offsets:
            return (ReplayOffsets(partition),)
        return [offset for offset in self.offsets if offset.partition == partition]


class ReplayRange(msgspec.Struct, frozen=True):
    """The offsets from ``start`` up to ``end`` that a replay passes in one partition."""

    partition: int
    start: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.start


class SelectableRange(msgspec.Struct, frozen=True):
    """What there is to select from in a partition, as offsets: from the first kept one up to the
    cursor of the flow's lane, and where the selection's times lie."""

    partition: int
    first: int
    cursor: int
    since: int | None = None
    until: int | None = None


def replay_lane_name(flow: str, id: str) -> str:
    """Return the name of a replay's own lanes."""
    return f"{flow}{REPLAY_SEPARATOR}{id}"


def replay_range(selection: ReplaySelection, selectable: SelectableRange) -> ReplayRange | None:
    """Return what a replay passes in one partition, ``None`` when it is nothing."""
    here = selection.ranges_in(selectable.partition)
    if not here:
        return None
    ends = [selectable.cursor if one.end is None else one.end for one in here]
    start = max(selectable.first, min(one.start for one in here), selectable.since or 0)
    end = min(selectable.cursor, max(ends))
    end = end if selectable.until is None else min(end, selectable.until)
    return ReplayRange(selectable.partition, start, end) if start < end else None


def replay_mode(*, to_file: bool, force: bool, keeps_positions: bool) -> ReplayMode:
    """Return how a replay's loads go."""
    if to_file or force:
        return "own"
    return "known" if keeps_positions else "record"


def goes_under_flow_name(
    offset: int, delivered_range: DeliveredRange, failed_offsets: Collection[int]
) -> bool:
    """Say whether an event goes to a destination that keeps positions under the flow's name.

    So it is where the destination has decided it, and where the flow itself may try it still.
    """
    decided = delivered_range.start <= offset < delivered_range.end
    return decided or offset in delivered_range.delivered or offset in failed_offsets


def is_delivered_by_ledger(
    offset: int, ranges: Sequence[SettledRange], version: str, failed_offsets: Collection[int]
) -> bool:
    """Say whether the ledger's record has an event as done by this version of its flow.

    ``ranges`` are those of its lane, in order. ``failed_offsets`` are offsets that are parked,
    dead or discarded. What a step filtered counts as done: it would be filtered again.
    """
    at = bisect_right(ranges, offset, key=lambda one: one.start) - 1
    if at < 0 or offset in failed_offsets:
        return False
    return offset < ranges[at].end and ranges[at].version == version
