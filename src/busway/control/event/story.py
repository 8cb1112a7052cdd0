"""Where is order 4711? The story of one event, from the log, the ledger and nothing else."""

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
    """Return all that is known of an event; of several with this id, the latest, or ``source``'s.

    Raises :class:`NotFound` when it is neither in the log nor kept as an exception.
    """
    search = _Search(control, control.clock.monotonic() + within_s)
    members = await search.mentions(id)
    named = [one for one in members if one.head.id == id and source in (None, one.head.source)]
    subject = _subject(named[0]) if named else await _stored_subject(control.ledger, id, source)
    if subject is None:
        raise NotFound(await _not_found_text(control, id, source, search))
    family = await _lineage(control, search, subject.head, members)
    others = tuple(as_related(one) for one in members if one.head.id == id and one not in named[:1])
    chain, _ = family.causes(subject.head)
    published = {flow for one in family.effects(subject.head) if (flow := one.flow) is not None}
    return replace(
        _story_of(subject),
        others=others,
        flows=await flow_stories(control, replace(subject, published=frozenset(published))),
        causes=family.as_related(chain),
        effects=family.effects(subject.head),
        complete=search.complete,
        looked_back_to=search.back_to,
    )


class _Search:
    """Looks for what mentions an id, as long as there is time; remembers how far it came."""

    def __init__(self, control: ControlContext, ends_at: float) -> None:
        self._control = control
        self._ends_at = ends_at
        self.complete = True
        self.back_to: datetime | None = None

    async def mentions(self, id: str) -> list[LineageEvent]:
        """Return the events with this id, and those that name it as cause or correlation."""
        scan = Scan(
            self._control.log, await ranges_between(self._control.log), _mentions_filter(id)
        )
        found: list[LineageEvent] = []
        while not scan.is_done and len(found) < _MAX_SEEN:
            if self._control.clock.monotonic() >= self._ends_at:
                break
            found += [LineageEvent(decode_head(one.raw), one) for one in await scan.scan_page()]
        if not scan.is_done:
            self.complete = False
            self.back_to = scan.scanned_back_to
        return found


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
    """Gather the family: what shares the correlation, and the causes that do not."""
    names = {
        one.known_as or name: name for name, one in (await flow_records(control.ledger)).items()
    }
    known = list(members)
    if head.correlationid not in (None, head.id):
        known += await search.mentions(head.correlationid or "")
    family = Lineage(_unique(known), names)
    while search.complete:
        _, missing = family.causes(head)
        found = await search.mentions(missing) if missing else []
        if not any(one.head.id == missing for one in found):
            break
        known += found
        family = Lineage(_unique(known), names)
    return family


def _unique(members: Sequence[LineageEvent]) -> Iterator[LineageEvent]:
    yield from {(one.hit.partition, one.hit.offset): one for one in members}.values()


def _subject(one: LineageEvent) -> StorySubject:
    seen = one.hit
    return StorySubject(
        one.head, LogPosition(seen.partition, seen.offset), seen.raw, seen.appended_at
    )


async def _stored_subject(ledger: Ledger, id: str, source: str | None) -> StorySubject | None:
    """Return an event of which only a copy, or only the history of its failures is left."""
    for trouble in await ledger.failed_events(FailedEventQuery(event_id=id)):
        head = decode_head(trouble.event)
        if source in (None, head.source):
            return StorySubject(head, LogPosition(trouble.partition, trouble.offset), trouble.event)
    for one in reversed(await ledger.resolved_events(id)):
        head = EventHead(id, "", partitionkey=one.event_key)
        return StorySubject(head, LogPosition(one.partition, one.offset))
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
        return f"event {id!r}{of} was not found{back}; there was no time to look further"
    kept: list[Hit] = []
    for partition in range(control.log.partitions):
        first, _ = await control.log.bounds(partition)
        read = await control.log.read(partition, first, 1)
        kept += [Hit(partition, first, one.appended_at, b"") for one in read[:1]]
    oldest = min((one.appended_at for one in kept), default=None)
    since = f"the log goes back to {oldest:%F %T} UTC" if oldest else "the log is empty"
    return f"there is no event {id!r}{of}: it never came, or is trimmed; {since}"
