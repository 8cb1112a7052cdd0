"""Count the events that a replay would select, and those that were already delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from busway.bus.reader import MatchedBatch, match_batch
from busway.control.context import ControlContext
from busway.control.replay.delivered import DeliveredLookup, LiveLane
from busway.control.replay.match import ReplayMatcher
from busway.control.replay.operation import (
    ReplayRequest,
    already_delivered_note,
    requested_flow,
    requested_spans,
)
from busway.delivery.replay import ReplayRange, ReplaySelection, replay_mode
from busway.event import Event, event_from_json
from busway.flow import Flow
from busway.outcome import Down
from busway.ports import Destination, KeepsPositions

READ_BYTES = 1024 * 1024
_QUERY_SIZE = 5_000


class ReplayCount(msgspec.Struct, frozen=True, kw_only=True):
    """The effect of a replay if it began now.

    It would read ``total`` events of the log, of which ``selected`` match the selection and the
    flow's rule. ``already_delivered`` of those are delivered (``None`` if unknown; ``note`` says
    why), and ``to_replay`` would go through the steps.
    """

    flow: str
    total: int = 0
    selected: int = 0
    already_delivered: int | None = None
    to_replay: int = 0
    note: str = ""


async def count_replay(control: ControlContext, request: ReplayRequest) -> ReplayCount:
    """Count what a replay would do; reads every event in its ranges, and changes nothing."""
    flow = requested_flow(control, request)
    spans = await requested_spans(control, request)
    counter = _Counter(control, flow, request)
    for span in spans:
        await counter.count_partition(span)
    return counter.result(sum(span.size for span in spans))


class _Counter:
    """Reads the log and matches its events in a thread."""

    def __init__(self, control: ControlContext, flow: Flow, request: ReplayRequest) -> None:
        self._control = control
        self._flow = flow
        self._request = request
        self._matcher = ReplayMatcher(flow.pattern, request.select)
        self._destination = control.destination(flow.name)
        self._selected = 0
        self._already_delivered = 0
        self._note = ""
        if self._destination is None or request.into is not None:
            self._note = (
                "the replay writes to a file of its own, so nothing was delivered there before"
            )

    async def count_partition(self, span: ReplayRange) -> None:
        """Count the events of one partition."""
        lookup = self._create_lookup(self._destination, span.partition)
        position = span.start
        while position < span.end:
            batches = await self._control.log.read(span.partition, position, READ_BYTES)
            for batch in batches:
                matched = await asyncio.to_thread(match_batch, self._matcher, batch)
                selected = list(_selected_events(matched, span, self._request.select))
                self._selected += len(selected)
                await self._query_delivered(lookup, selected)
            position = batches[-1].end if batches else span.end

    async def _query_delivered(
        self, delivered_lookup: DeliveredLookup | None, events: Sequence[tuple[int, Event]]
    ) -> None:
        for first in range(0, len(events), _QUERY_SIZE):
            if delivered_lookup is None or self._note:
                return
            delivered = await delivered_lookup.delivered(events[first : first + _QUERY_SIZE])
            if isinstance(delivered, Down):
                self._note = f"the destination cannot be queried: {delivered.reason}"
            else:
                self._already_delivered += len(delivered)

    def _create_lookup(
        self, destination: Destination | None, partition: int
    ) -> DeliveredLookup | None:
        if destination is None or self._note:
            return None
        flow, control = self._flow, self._control
        keeps = isinstance(flow.sink, KeepsPositions) and flow.sink.keeps_positions
        mode = replay_mode(to_file=False, force=False, keeps_positions=keeps)
        live = LiveLane(
            flow.name, flow.original_name, flow.version, control.log.identity, partition
        )
        lookup = DeliveredLookup(control.ledger, live, mode, destination)
        if not lookup.can_tell:
            self._note = "the destination cannot report what it has; it will skip duplicates itself"
        return lookup

    def result(self, total: int) -> ReplayCount:
        """Return the counts."""
        skipped = 0 if self._note or self._request.force else self._already_delivered
        note = self._note
        if skipped and skipped == self._selected:
            note = f"nothing would be delivered: {already_delivered_note(skipped)}"
        return ReplayCount(
            flow=self._flow.name,
            total=total,
            selected=self._selected,
            already_delivered=None if self._note else self._already_delivered,
            to_replay=self._selected - skipped,
            note=note,
        )


def _selected_events(
    matched: MatchedBatch, span: ReplayRange, selection: ReplaySelection
) -> Iterator[tuple[int, Event]]:
    ranges = selection.ranges_in(span.partition)
    for index in matched.wanted.get(0, ()):
        offset = matched.batch.offset + index
        if span.start <= offset < span.end and any(offset in offsets for offsets in ranges):
            yield offset, event_from_json(matched.batch.events[index])
