"""Search the log: events by id, key, type, source, what is in them and when they came."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zlib import crc32

import msgspec
from msgspec import Raw

from busway.control.control import Control
from busway.control.log.scan import Scan, Sighting, Stretch, Test, Wanted, stretches
from busway.control.log.where import Where, check_count
from busway.errors import SettingsError
from busway.event import Event

WITHIN_S = 5.0
MOST = 1_000


class SeenEvent(msgspec.Struct, frozen=True):
    """An event of the log: where it is, when it was appended, and it."""

    partition: int
    offset: int
    came_at: datetime
    event: Raw


class Head(msgspec.Struct, frozen=True, gc=False):
    """Who an event is and what it belongs to: what a search looks at first."""

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


head_of = msgspec.json.Decoder(Head).decode
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """Which events: those that fit all that is given.

    ``key`` is their partition key or subject, ``where`` are texts of :class:`Where`, ``since``
    (inclusive) and ``until`` (exclusive) are about when the bus took them.
    """

    id: str | None = None
    key: str | None = None
    type: str | None = None
    source: str | None = None
    where: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Events of the log, the newest first.

    ``rest`` is where a later search goes on, empty when all was looked at. It may be given before
    ``limit`` events were found: a search ends after a few seconds, whatever it found. ``looked`` is
    how many events it looked at, ``back_to`` how far it came.
    """

    events: Sequence[Sighting]
    rest: Sequence[Stretch] = ()
    looked: int = 0
    back_to: datetime | None = None


async def search(
    control: Control,
    question: Question,
    limit: int = 100,
    rest: Sequence[Stretch] = (),
    within_s: float = WITHIN_S,
) -> Found:
    """Return up to ``limit`` events; ``rest`` is that of the search before, to go on from there.

    Raises :class:`SettingsError` for times that leave nothing, :class:`BuswayError` for a ``where``
    that is none.
    """
    if question.since and question.until and question.since >= question.until:
        raise SettingsError("since is not before until; exchange them")
    wanted = wanted_by(question)
    where = list(rest) or await _stretches(control, question)
    scan = Scan(control.log, where, wanted)
    found: list[Sighting] = []
    ends_at = control.clock.monotonic() + within_s
    while len(found) < limit and not scan.done:
        found += await scan.step()
        if scan.may_pause and control.clock.monotonic() >= ends_at:
            break
    left = _rest(scan, found[limit:])
    return Found(events=found[:limit], rest=left, looked=scan.looked, back_to=scan.back_to)


def wanted_by(question: Question) -> Wanted:
    """Return the tests of the bytes of an event."""
    check_count(question.where)
    names = ("id", "key", "type", "source")
    given = ((name, getattr(question, name)) for name in names)
    items = tuple((name, value) for name, value in given if value is not None)
    tests = [_named(items)] if items else []
    tests += [Wanted(where.may_match, where) for where in map(Where, question.where)]
    return all_of(tests)


def all_of(tests: Sequence[Wanted]) -> Wanted:
    """Return the tests of what all of some tests want."""
    if len(tests) == 1:
        return tests[0]
    nears, exacts = [one.near for one in tests], [one.exact for one in tests]
    return Wanted(
        lambda raw: all(near(raw) for near in nears),
        lambda raw: all(exact(raw) for exact in exacts),
    )


def _named(items: Sequence[tuple[str, str]]) -> Wanted:
    def exact(raw: bytes) -> bool:
        try:
            head = head_of(raw)
        except UNREADABLE:
            return False
        return all(getattr(head, name) == value for name, value in items)

    return Wanted(holding(*(value for _, value in items)), exact)


def holding(*texts: str) -> Test:
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


async def _stretches(control: Control, question: Question) -> list[Stretch]:
    found = await stretches(control.log, question.since, question.until)
    if question.key is None:
        return found
    return [one for one in found if one.partition == crc32(question.key.encode()) % len(found)]


def _rest(scan: Scan, untaken: Sequence[Sighting]) -> list[Stretch]:
    """Return where to go on: behind what was found, but not given out."""
    ends = {one.partition: one.end for one in scan.rest()}
    for one in untaken:
        ends[one.partition] = max(ends[one.partition], one.offset + 1)
    left = [msgspec.structs.replace(one, end=ends[one.partition]) for one in scan.rest()]
    return left if any(one.end > one.first for one in left) else []


def as_event(sighting: Sighting) -> Event:
    """Return the event that was seen."""
    return Event.from_json(sighting.raw)
