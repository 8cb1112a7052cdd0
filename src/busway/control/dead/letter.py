"""Dead letters, and parked events in the same way: look at them, one by one and by root cause."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Self

import msgspec
from msgspec import Raw

from busway.control.dead.selection import Selection
from busway.delivery.fingerprint import title
from busway.errors import NotFound
from busway.lane import Group, Query, State, Trouble
from busway.outcome import Failure
from busway.ports import Ledger

_NO_NUMBER = 2**63
"""No partition and no offset is as large: what keeps them has 64 bits."""


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter, or a parked event, in short.

    ``place`` names it: ``flow/partition/offset``. ``cause`` is its last failure's root cause in
    words, which has the ``fingerprint``; ``reason`` is that failure's own text. ``attempts`` counts
    those since it came or was redriven last.
    """

    place: str
    flow: str
    partition: int
    offset: int
    id: str
    key: str | None
    state: State
    since: datetime
    due: datetime | None
    attempts: int
    error: str
    reason: str
    fingerprint: str
    cause: str

    @classmethod
    def of(cls, trouble: Trouble) -> Self:
        """Return what people see of a trouble."""
        last = trouble.failures[-1] if trouble.failures else None
        return cls(
            place=place_of(trouble),
            flow=trouble.flow,
            partition=trouble.partition,
            offset=trouble.offset,
            id=trouble.event_id,
            key=trouble.event_key,
            state=trouble.state,
            since=trouble.since,
            due=trouble.due,
            attempts=trouble.attempts,
            error=last.error if last else "",
            reason=last.reason if last else "",
            fingerprint=trouble.fingerprint,
            cause=title(last, trouble.fingerprint) if last else "",
        )


class LetterDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter whole: its event, and every failed attempt that is kept, the last one last."""

    letter: Letter
    event: Raw
    failures: tuple[Failure, ...]

    @classmethod
    def of(cls, trouble: Trouble) -> Self:
        """Return all that is known of a trouble."""
        return cls(letter=Letter.of(trouble), event=Raw(trouble.event), failures=trouble.failures)


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters of one flow with the same root cause: how many, since when, and one of them."""

    flow: str
    state: State
    fingerprint: str
    cause: str
    error: str
    count: int
    first_since: datetime
    last_since: datetime
    example: str


async def causes(ledger: Ledger, selection: Selection, limit: int = 100) -> Sequence[Cause]:
    """Return a selection by root cause, the largest group first; its ``where`` is not looked at."""
    groups = await ledger.groups(selection.query(limit=limit))
    return [_cause(group, await _example(ledger, group)) for group in groups]


async def find(ledger: Ledger, name: str) -> Sequence[Trouble]:
    """Return the dead letters and parked events called ``name``.

    That is an event's id, or ``flow/partition/offset``. Raises :class:`NotFound` for none.
    """
    place = parse_place(name)
    one = None if place is None else await at_place(ledger, *place)
    found = await ledger.troubles(Query(event_id=name)) if one is None else [one]
    if not found:
        raise NotFound(f"there is no dead letter {name!r}; `busway dead list` shows them")
    return found


async def at_place(ledger: Ledger, flow: str, partition: int, offset: int) -> Trouble | None:
    """Return what is dead or parked at a place, if anything is."""
    if not (0 <= partition < _NO_NUMBER and 0 <= offset < _NO_NUMBER):
        return None
    query = Query(flow=flow, partition=partition, after=(flow, partition, offset - 1), limit=1)
    found = await ledger.troubles(query)
    return found[0] if found and found[0].offset == offset else None


def parse_place(name: str) -> tuple[str, int, int] | None:
    """Return flow, partition and offset of ``flow/partition/offset``, or ``None``."""
    flow, _, rest = name.partition("/")
    partition, _, offset = rest.partition("/")
    if flow and partition.isdecimal() and offset.isdecimal():
        return flow, int(partition), int(offset)
    return None


def place_of(trouble: Trouble) -> str:
    """Return the name of a trouble, as ``flow/partition/offset``."""
    return f"{trouble.flow}/{trouble.partition}/{trouble.offset}"


async def _example(ledger: Ledger, group: Group) -> Trouble | None:
    return await at_place(ledger, group.flow, group.partition, group.offset)


def _cause(group: Group, example: Trouble | None) -> Cause:
    last = example.failures[-1] if example and example.failures else None
    return Cause(
        flow=group.flow,
        state=group.state,
        fingerprint=group.fingerprint,
        cause=title(last, group.fingerprint) if last else group.error,
        error=group.error,
        count=group.count,
        first_since=group.first_since,
        last_since=group.last_since,
        example=f"{group.flow}/{group.partition}/{group.offset}",
    )
