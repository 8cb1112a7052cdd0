"""Assemble the story of one event from the log and the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Raw
from msgspec.structs import replace

from busway.control.context import ControlContext
from busway.control.event.flow_story import flow_stories
from busway.control.event.lineage import Lineage, LineageEvent, as_related
from busway.control.event.story_record import NULL, LogPosition, Story
from busway.control.event.subject import StorySubject
from busway.control.log.scan import EventMatcher, Hit, Scan, ranges_between
from busway.control.log.search import UNREADABLE, EventHead, contains, decode_head
from busway.control.record import flow_records
from busway.errors import NotFound
from busway.event import Event
from busway.failed_event import FailedEventQuery
from busway.ports import Ledger

WITHIN_S = 30.0
_MAX_SEEN = 10_000


async def assemble_story(
    control: ControlContext, id: str, source: str | None = None, within_s: float = WITHIN_S
) -> Story:
    """Return the story of an event; of several with this id, the latest, or that of ``source``.

    Raises :class:`NotFound` if it is neither in the log nor kept as a failed event.
    """
    search = _Search(control, control.clock.monotonic() + within_s)
    members = await search.mentions(id)
    matches = [
        member
        for member in members
        if member.head.id == id and source in (None, member.head.source)
    ]
    subject = _subject(matches[0]) if matches else await _stored_subject(control.ledger, id, source)
    if subject is None:
        raise NotFound(await _not_found_text(control, id, source, search))
    lineage = await _lineage(control, search, subject.head, members)
    others = tuple(
        as_related(member)
        for member in members
        if member.head.id == id and member not in matches[:1]
    )
    chain, _ = lineage.causes(subject.head)
    published = {
        flow for effect in lineage.effects(subject.head) if (flow := effect.flow) is not None
    }
    return replace(
        _story_of(subject),
        others=others,
        flows=await flow_stories(control, replace(subject, published=frozenset(published))),
        causes=lineage.as_related(chain),
        effects=lineage.effects(subject.head),
        complete=search.complete,
        looked_back_to=search.back_to,
    )


class _Search:
    """Searches the log for events that mention an id until a deadline; records how far it came."""

    def __init__(self, control: ControlContext, ends_at: float) -> None:
        self._control = control
        self._ends_at = ends_at
        self.complete = True
        self.back_to: datetime | None = None

    async def mentions(self, id: str) -> list[LineageEvent]:
        """Return the events with this id, and those that name it as their cause or correlation."""
        scan = Scan(
            self._control.log, await ranges_between(self._control.log), _mentions_filter(id)
        )
        members: list[LineageEvent] = []
        while not scan.is_done and len(members) < _MAX_SEEN:
            if self._control.clock.monotonic() >= self._ends_at:
                break
            members += [LineageEvent(decode_head(hit.raw), hit) for hit in await scan.scan_page()]
        if not scan.is_done:
            self.complete = False
            self.back_to = scan.scanned_back_to
        return members


def _mentions_filter(id: str) -> EventMatcher:
    def exact(raw: bytes) -> bool:
        try:
            head = decode_head(raw)
        except UNREADABLE:
            return False
        return id in (head.id, head.causationid, head.correlationid)

    return EventMatcher(contains(id), exact)


async def _lineage(
    control: ControlContext, search: _Search, head: EventHead, members: Sequence[LineageEvent]
) -> Lineage:
    """Collect the events of the same correlation, and the causes that have another one."""
    names = {
        record.known_as or name: name
        for name, record in (await flow_records(control.ledger)).items()
    }
    known = list(members)
    if head.correlationid not in (None, head.id):
        known += await search.mentions(head.correlationid or "")
    lineage = Lineage(_unique(known), names)
    while search.complete:
        _, missing = lineage.causes(head)
        missing_members = await search.mentions(missing) if missing else []
        if not any(member.head.id == missing for member in missing_members):
            break
        known += missing_members
        lineage = Lineage(_unique(known), names)
    return lineage


def _unique(members: Sequence[LineageEvent]) -> Iterator[LineageEvent]:
    yield from {(member.hit.partition, member.hit.offset): member for member in members}.values()


def _subject(member: LineageEvent) -> StorySubject:
    hit = member.hit
    return StorySubject(
        member.head, LogPosition(hit.partition, hit.offset), hit.raw, hit.appended_at
    )


async def _stored_subject(ledger: Ledger, id: str, source: str | None) -> StorySubject | None:
    """Return an event that is no longer in the log: its copy, or the history of its failures."""
    for failed_event in await ledger.failed_events(FailedEventQuery(event_id=id)):
        head = decode_head(failed_event.event)
        if source in (None, head.source):
            return StorySubject(
                head, LogPosition(failed_event.partition, failed_event.offset), failed_event.event
            )
    for resolved in reversed(await ledger.resolved_events(id)):
        head = EventHead(id, "", partitionkey=resolved.event_key)
        return StorySubject(head, LogPosition(resolved.partition, resolved.offset))
    return None


def _story_of(subject: StorySubject) -> Story:
    head, raw = subject.head, subject.raw
    return Story(
        id=head.id,
        source=head.source,
        type=head.type,
        key=head.key,
        time=None if raw is None else Event.from_json(raw).time,
        position=subject.position,
        appended_at=subject.appended_at,
        event=NULL if raw is None else Raw(raw),
    )


async def _not_found_text(
    control: ControlContext, id: str, source: str | None, search: _Search
) -> str:
    of = f" of source {source!r}" if source else ""
    if not search.complete:
        back = f" back to {search.back_to:%F %T} UTC" if search.back_to else ""
        return f"event {id!r}{of} was not found{back}; the time to search ended"
    firsts: list[Hit] = []
    for partition in range(control.log.partitions):
        first, _ = await control.log.bounds(partition)
        read = await control.log.read(partition, first, 1)
        firsts += [Hit(partition, first, batch.appended_at, b"") for batch in read[:1]]
    oldest = min((hit.appended_at for hit in firsts), default=None)
    since = f"the log goes back to {oldest:%F %T} UTC" if oldest else "the log is empty"
    return f"there is no event {id!r}{of}: it never arrived, or was trimmed; {since}"
