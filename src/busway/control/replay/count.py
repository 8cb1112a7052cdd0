"""How many events a replay would select, and how many of them have landed already."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import msgspec

from busway.bus.follow import Matched, match
from busway.control.control import Control
from busway.control.replay.landed import Landings, Live
from busway.control.replay.match import Selected
from busway.control.replay.operation import Request, flow_for, landed_before, spans_of
from busway.delivery.replay import Selection, Span, mode
from busway.event import Event, event_of
from busway.flow import Flow
from busway.outcome import Down
from busway.ports import Destination, KeepsPositions

READ_BYTES = 1024 * 1024
_ASKED_AT_ONCE = 5_000


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay would do if it began now.

    It would pass ``total`` events of the log; ``selected`` is how many of them fit the selection
    and the flow's rule. ``landed`` is how many of those have landed already (``None`` where that
    cannot be told, ``note`` says why), ``going`` how many would go through the steps.
    """

    flow: str
    total: int = 0
    selected: int = 0
    landed: int | None = None
    going: int = 0
    note: str = ""


async def count(control: Control, request: Request) -> Counted:
    """Count what a replay would do; it looks at every event in reach, and changes nothing."""
    flow = flow_for(control, request)
    spans = await spans_of(control, request)
    looked = _Look(control, flow, request)
    for one in spans:
        await looked.through(one)
    return looked.counted(sum(one.size for one in spans))


class _Look:
    """Goes through the log, the matching off the loop."""

    def __init__(self, control: Control, flow: Flow, request: Request) -> None:
        self._control = control
        self._flow = flow
        self._request = request
        self._matcher = Selected(flow.pattern, request.select)
        self._destination = control.destination(flow.name)
        self._selected = 0
        self._landed = 0
        self._note = ""
        if self._destination is None or request.into is not None:
            self._note = "what is in a file of its own has not landed before"

    async def through(self, span: Span) -> None:
        """Count in one partition."""
        landings = self._landings(self._destination, span.partition)
        position = span.start
        while position < span.end:
            batches = await self._control.log.read(span.partition, position, READ_BYTES)
            for batch in batches:
                found = await asyncio.to_thread(match, self._matcher, batch)
                chosen = list(_chosen(found, span, self._request.select))
                self._selected += len(chosen)
                await self._ask(landings, chosen)
            position = batches[-1].end if batches else span.end

    async def _ask(self, landings: Landings | None, events: Sequence[tuple[int, Event]]) -> None:
        for first in range(0, len(events), _ASKED_AT_ONCE):
            if landings is None or self._note:
                return
            found = await landings.landed(events[first : first + _ASKED_AT_ONCE])
            if isinstance(found, Down):
                self._note = f"the destination cannot be asked: {found.reason}"
            else:
                self._landed += len(found)

    def _landings(self, destination: Destination | None, partition: int) -> Landings | None:
        if destination is None or self._note:
            return None
        flow, control = self._flow, self._control
        keeps = isinstance(flow.sink, KeepsPositions) and flow.sink.keeps_positions
        way = mode(to_file=False, force=False, keeps_positions=keeps)
        live = Live(flow.name, flow.known_as, flow.version, control.log.identity, partition)
        found = Landings(control.ledger, live, way, destination)
        if not found.tells:
            self._note = "the destination cannot tell what has landed; it will skip it itself"
        return found

    def counted(self, total: int) -> Counted:
        """Return what was found."""
        skipped = 0 if self._note or self._request.force else self._landed
        note = self._note
        if skipped and skipped == self._selected:
            note = f"nothing would be delivered: {landed_before(skipped)}"
        return Counted(
            flow=self._flow.name,
            total=total,
            selected=self._selected,
            landed=None if self._note else self._landed,
            going=self._selected - skipped,
            note=note,
        )


def _chosen(found: Matched, span: Span, selection: Selection) -> Iterator[tuple[int, Event]]:
    ranges = selection.here(span.partition)
    for index in found.wanted.get(0, ()):
        offset = found.batch.offset + index
        if span.start <= offset < span.end and any(offset in one for one in ranges):
            yield offset, event_of(found.batch.events[index])
