"""How many events a replay would select, and how many of them have landed already."""

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
    """What a replay would do if it began now.

    It would pass ``total`` events of the log; ``selected`` is how many of them fit the selection
    and the flow's rule. ``landed`` is how many of those have landed already (``None`` where that
    cannot be told, ``note`` says why), ``to_replay`` how many would go through the steps.
    """

    flow: str
    total: int = 0
    selected: int = 0
    already_delivered: int | None = None
    to_replay: int = 0
    note: str = ""


async def count_replay(control: ControlContext, request: ReplayRequest) -> ReplayCount:
    """Count what a replay would do; it looks at every event in reach, and changes nothing."""
    flow = requested_flow(control, request)
    spans = await requested_spans(control, request)
    looked = _Counter(control, flow, request)
    for one in spans:
        await looked.count_partition(one)
    return looked.result(sum(one.size for one in spans))


class _Counter:
    """Goes through the log, the matching off the loop."""

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
            self._note = "what is in a file of its own has not landed before"

    async def count_partition(self, span: ReplayRange) -> None:
        """Count in one partition."""
        landings = self._create_lookup(self._destination, span.partition)
        position = span.start
        while position < span.end:
            batches = await self._control.log.read(span.partition, position, READ_BYTES)
            for batch in batches:
                found = await asyncio.to_thread(match_batch, self._matcher, batch)
                chosen = list(_selected_events(found, span, self._request.select))
                self._selected += len(chosen)
                await self._query_delivered(landings, chosen)
            position = batches[-1].end if batches else span.end

    async def _query_delivered(
        self, delivered_lookup: DeliveredLookup | None, events: Sequence[tuple[int, Event]]
    ) -> None:
        for first in range(0, len(events), _QUERY_SIZE):
            if delivered_lookup is None or self._note:
                return
            found = await delivered_lookup.delivered(events[first : first + _QUERY_SIZE])
            if isinstance(found, Down):
                self._note = f"the destination cannot be asked: {found.reason}"
            else:
                self._already_delivered += len(found)

    def _create_lookup(
        self, destination: Destination | None, partition: int
    ) -> DeliveredLookup | None:
        if destination is None or self._note:
            return None
        flow, control = self._flow, self._control
        keeps = isinstance(flow.sink, KeepsPositions) and flow.sink.keeps_positions
        way = replay_mode(to_file=False, force=False, keeps_positions=keeps)
        live = LiveLane(
            flow.name, flow.original_name, flow.version, control.log.identity, partition
        )
        found = DeliveredLookup(control.ledger, live, way, destination)
        if not found.can_tell:
            self._note = "the destination cannot tell what has landed; it will skip it itself"
        return found

    def result(self, total: int) -> ReplayCount:
        """Return what was found."""
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
    found: MatchedBatch, span: ReplayRange, selection: ReplaySelection
) -> Iterator[tuple[int, Event]]:
    ranges = selection.ranges_in(span.partition)
    for index in found.wanted.get(0, ()):
        offset = found.batch.offset + index
        if span.start <= offset < span.end and any(offset in one for one in ranges):
            yield offset, event_from_json(found.batch.events[index])
