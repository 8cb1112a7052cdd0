"""Where is order 4711? The story of one event, from the log, the ledger and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from msgspec import Raw
from msgspec.structs import replace

from busway.control.control import Control
from busway.control.event.family import Family, Member, relative
from busway.control.event.flow import flow_stories
from busway.control.event.story import NULL, Place, Story
from busway.control.event.subject import Subject
from busway.control.log.scan import Scan, Sighting, Wanted, stretches
from busway.control.log.search import UNREADABLE, Head, head_of, holding
from busway.control.record import flow_records
from busway.errors import NotFound
from busway.event import Event
from busway.lane import Query
from busway.ports import Ledger

WITHIN_S = 30.0
_MOST_SEEN = 10_000


async def story(
    control: Control, id: str, source: str | None = None, within_s: float = WITHIN_S
) -> Story:
    """Return all that is known of an event; of several with this id, the latest, or ``source``'s.

    Raises :class:`NotFound` when it is neither in the log nor kept as an exception.
    """
    search = _Search(control, control.clock.monotonic() + within_s)
    members = await search.mentions(id)
    named = [one for one in members if one.head.id == id and source in (None, one.head.source)]
    subject = _subject(named[0]) if named else await _copy(control.ledger, id, source)
    if subject is None:
        raise NotFound(await _missing(control, id, source, search))
    family = await _family(control, search, subject.head, members)
    others = tuple(relative(one) for one in members if one.head.id == id and one not in named[:1])
    chain, _ = family.causes(subject.head)
    published = {flow for one in family.caused(subject.head) if (flow := one.flow) is not None}
    return replace(
        _told(subject),
        others=others,
        flows=await flow_stories(control, replace(subject, published=frozenset(published))),
        causes=family.relatives(chain),
        caused=family.caused(subject.head),
        complete=search.complete,
        looked_back_to=search.back_to,
    )


class _Search:
    """Looks for what mentions an id, as long as there is time; remembers how far it came."""

    def __init__(self, control: Control, ends_at: float) -> None:
        self._control = control
        self._ends_at = ends_at
        self.complete = True
        self.back_to: datetime | None = None

    async def mentions(self, id: str) -> list[Member]:
        """Return the events with this id, and those that name it as cause or correlation."""
        scan = Scan(self._control.log, await stretches(self._control.log), _mentioning(id))
        found: list[Member] = []
        while not scan.done and len(found) < _MOST_SEEN:
            if self._control.clock.monotonic() >= self._ends_at:
                break
            found += [Member(head_of(one.raw), one) for one in await scan.step()]
        if not scan.done:
            self.complete = False
            self.back_to = scan.back_to
        return found


def _mentioning(id: str) -> Wanted:
    def exact(raw: bytes) -> bool:
        try:
            head = head_of(raw)
        except UNREADABLE:
            return False
        return id in (head.id, head.causationid, head.correlationid)

    return Wanted(holding(id), exact)


async def _family(
    control: Control, search: _Search, head: Head, members: Sequence[Member]
) -> Family:
    """Gather the family: what shares the correlation, and the causes that do not."""
    names = {
        one.known_as or name: name for name, one in (await flow_records(control.ledger)).items()
    }
    known = list(members)
    if head.correlationid not in (None, head.id):
        known += await search.mentions(head.correlationid or "")
    family = Family(_once(known), names)
    while search.complete:
        _, missing = family.causes(head)
        found = await search.mentions(missing) if missing else []
        if not any(one.head.id == missing for one in found):
            break
        known += found
        family = Family(_once(known), names)
    return family


def _once(members: Sequence[Member]) -> Iterator[Member]:
    yield from {(one.seen.partition, one.seen.offset): one for one in members}.values()


def _subject(one: Member) -> Subject:
    seen = one.seen
    return Subject(one.head, Place(seen.partition, seen.offset), seen.raw, seen.came_at)


async def _copy(ledger: Ledger, id: str, source: str | None) -> Subject | None:
    """Return an event of which only a copy, or only the history of its failures is left."""
    for trouble in await ledger.troubles(Query(event_id=id)):
        head = head_of(trouble.event)
        if source in (None, head.source):
            return Subject(head, Place(trouble.partition, trouble.offset), trouble.event)
    for one in reversed(await ledger.resolved(id)):
        head = Head(id, "", partitionkey=one.event_key)
        return Subject(head, Place(one.partition, one.offset))
    return None


def _told(subject: Subject) -> Story:
    head, raw = subject.head, subject.raw
    return Story(
        id=head.id,
        source=head.source,
        type=head.type,
        key=head.key,
        time=None if raw is None else Event.from_json(raw).time,
        place=subject.place,
        came_at=subject.came_at,
        event=NULL if raw is None else Raw(raw),
    )


async def _missing(control: Control, id: str, source: str | None, search: _Search) -> str:
    of = f" of source {source!r}" if source else ""
    if not search.complete:
        back = f" back to {search.back_to:%F %T} UTC" if search.back_to else ""
        return f"event {id!r}{of} was not found{back}; there was no time to look further"
    kept: list[Sighting] = []
    for partition in range(control.log.partitions):
        first, _ = await control.log.bounds(partition)
        read = await control.log.read(partition, first, 1)
        kept += [Sighting(partition, first, one.appended_at, b"") for one in read[:1]]
    oldest = min((one.came_at for one in kept), default=None)
    since = f"the log goes back to {oldest:%F %T} UTC" if oldest else "the log is empty"
    return f"there is no event {id!r}{of}: it never came, or is trimmed; {since}"
