"""Search the log for events by id, key, type, source, content and time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from zlib import crc32

import msgspec
from msgspec import Raw

from busway.control.context import ControlContext
from busway.control.field import Time, option
from busway.control.log.scan import (
    BytesTest,
    EventMatcher,
    Hit,
    PartitionRange,
    Scan,
    ranges_between,
)
from busway.control.log.where import WhereCondition, check_count
from busway.errors import SettingsError
from busway.event import Event

SEARCH_TIMEOUT_S = 5.0
MAX_EVENTS = 1_000


class LogEvent(msgspec.Struct, frozen=True):
    """An event in the log, with its position and append time."""

    partition: int
    offset: int
    appended_at: datetime
    event: Raw


class EventHead(msgspec.Struct, frozen=True, gc=False):
    """The identity and the correlation of an event, which a search decodes first."""

    id: str
    source: str
    type: str = ""
    subject: str | None = None
    partitionkey: str | None = None
    causationid: str | None = None
    correlationid: str | None = None

    @property
    def key(self) -> str | None:
        return self.partitionkey or self.subject


decode_head = msgspec.json.Decoder(EventHead).decode
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Selects the events that match all given criteria.

    ``key`` is their partition key or subject, ``where`` are texts of :class:`WhereCondition`.
    ``since`` (inclusive) and ``until`` (exclusive) bound the append time.
    """

    id: Annotated[str | None, option("Its id.", shown=False)] = None
    key: Annotated[str | None, option("Its partition key or subject.")] = None
    type: Annotated[str | None, option("Its type.", shown=False)] = None
    source: Annotated[str | None, option("Its source.", shown=False)] = None
    where: Annotated[
        tuple[str, ...],
        option(
            "A condition on it, like data.customer.id=42. May be repeated.", metavar="PATH=VALUE"
        ),
    ] = ()
    since: Annotated[
        Time | None, option("It came at this time or later.", "--since", "--from", metavar="TIME")
    ] = None
    until: Annotated[
        Time | None, option("It came before this time.", "--until", "--to", metavar="TIME")
    ] = None


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """Events of the log, the newest first.

    ``remaining`` is where a later search goes on, empty when all was looked at. It may be given
    before ``limit`` events were found: a search ends after a few seconds, whatever it found.
    ``scanned`` is how many events it looked at, ``scanned_back_to`` how far it came.
    """

    hits: Sequence[Hit]
    remaining: Sequence[PartitionRange] = ()
    scanned: int = 0
    scanned_back_to: datetime | None = None


async def search_log(
    control: ControlContext,
    query: EventQuery,
    limit: int = 100,
    remaining: Sequence[PartitionRange] = (),
    within_s: float = SEARCH_TIMEOUT_S,
) -> SearchResult:
    """Return up to ``limit`` events; ``remaining`` is that of the search before, to go on from
    there.

    Raises :class:`SettingsError` for times that leave nothing, :class:`BuswayError` for a ``where``
    that is none.
    """
    if query.since and query.until and query.since >= query.until:
        raise SettingsError("since is not before until; exchange them")
    wanted = query_matcher(query)
    where = list(remaining) or await _ranges(control, query)
    scan = Scan(control.log, where, wanted)
    found: list[Hit] = []
    ends_at = control.clock.monotonic() + within_s
    while len(found) < limit and not scan.is_done:
        found += await scan.scan_page()
        if scan.may_pause and control.clock.monotonic() >= ends_at:
            break
    left = _remaining(scan, found[limit:])
    return SearchResult(
        hits=found[:limit],
        remaining=left,
        scanned=scan.scanned,
        scanned_back_to=scan.scanned_back_to,
    )


def query_matcher(query: EventQuery) -> EventMatcher:
    """Return the tests of the bytes of an event."""
    check_count(query.where)
    names = ("id", "key", "type", "source")
    given = ((name, getattr(query, name)) for name in names)
    items = tuple((name, value) for name, value in given if value is not None)
    tests = [_match_names(items)] if items else []
    tests += [EventMatcher(where.may_match, where) for where in map(WhereCondition, query.where)]
    return match_all(tests)


def match_all(tests: Sequence[EventMatcher]) -> EventMatcher:
    """Return the tests of what all of some tests want."""
    if len(tests) == 1:
        return tests[0]
    nears, exacts = [test.may_match for test in tests], [test.matches for test in tests]
    return EventMatcher(
        lambda raw: all(near(raw) for near in nears),
        lambda raw: all(exact(raw) for exact in exacts),
    )


def _match_names(items: Sequence[tuple[str, str]]) -> EventMatcher:
    def exact(raw: bytes) -> bool:
        try:
            head = decode_head(raw)
        except UNREADABLE:
            return False
        return all(getattr(head, name) == value for name, value in items)

    return EventMatcher(contains(*(value for _, value in items)), exact)


def contains(*texts: str) -> BytesTest:
    """Return a quick test on the bytes of an event: false only where one of the texts is missing.

    JSON may write a text in more ways than one, but then there is a backslash.
    """
    plain = sorted((t.encode() for t in texts if _is_plain(t)), key=len, reverse=True)
    if not plain:
        return lambda _: True
    rarest, *others = plain

    def test(raw: bytes) -> bool:
        return (rarest in raw and all(other in raw for other in others)) or b"\\" in raw

    return test


def _is_plain(text: str) -> bool:
    return text.isprintable() and '"' not in text and "\\" not in text


async def _ranges(control: ControlContext, query: EventQuery) -> list[PartitionRange]:
    ranges = await ranges_between(control.log, query.since, query.until)
    if query.key is None:
        return ranges
    return [part for part in ranges if part.partition == crc32(query.key.encode()) % len(ranges)]


def _remaining(scan: Scan, untaken: Sequence[Hit]) -> list[PartitionRange]:
    """Return where to go on: behind what was found, but not given out."""
    ends = {part.partition: part.end for part in scan.remaining()}
    for hit in untaken:
        ends[hit.partition] = max(ends[hit.partition], hit.offset + 1)
    rest = [msgspec.structs.replace(part, end=ends[part.partition]) for part in scan.remaining()]
    return rest if any(part.end > part.first for part in rest) else []


def event_of_hit(hit: Hit) -> Event:
    """Return the event that was seen."""
    return Event.from_json(hit.raw)
