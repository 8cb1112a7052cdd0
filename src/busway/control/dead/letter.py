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
_MOST_GROUPS = 1_000
_NO_FAILURE = "it waits behind an earlier event of its key"


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
    """Failed events of one flow with the same root cause: how many, since when, and one of them.

    ``count`` is ``dead`` and ``parked`` together; ``state`` is ``dead`` where one of them is.
    ``example`` is the place of one, ``example_id`` its event's id, ``example_reason`` the text of
    its last failure as it came.
    """

    flow: str
    state: State
    fingerprint: str
    cause: str
    error: str
    count: int
    dead: int = 0
    parked: int = 0
    first_since: datetime
    last_since: datetime
    example: str
    example_id: str = ""
    example_reason: str = ""


async def causes(
    ledger: Ledger, selection: Selection, limit: int = 100, *, both: bool = False
) -> Sequence[Cause]:
    """Return a selection by root cause, the largest group first; its ``where`` is not looked at.

    ``both`` is for dead letters and parked events together.
    """
    query = selection.query(limit=limit)
    if both:  # of a cause there is a group for each state: enough of them to add up
        query = msgspec.structs.replace(query, state=None, limit=max(_MOST_GROUPS, 2 * limit))
    found: dict[tuple[str, str], list[Group]] = {}
    for group in await ledger.groups(query):
        found.setdefault((group.flow, group.fingerprint), []).append(group)
    merged = sorted(found.values(), key=lambda groups: -sum(one.count for one in groups))
    return [_cause(groups, await _example(ledger, groups)) for groups in merged[:limit]]


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


async def _example(ledger: Ledger, groups: Sequence[Group]) -> Trouble | None:
    one = _first(groups)
    return await at_place(ledger, one.flow, one.partition, one.offset)


def _first(groups: Sequence[Group]) -> Group:
    """Return the dead one of the groups of one cause, where there is one."""
    return min(groups, key=lambda one: one.state)


def _cause(groups: Sequence[Group], example: Trouble | None) -> Cause:
    last = example.failures[-1] if example and example.failures else None
    group, counts = _first(groups), {one.state: one.count for one in groups}
    return Cause(
        flow=group.flow,
        state=group.state,
        fingerprint=group.fingerprint,
        cause=title(last, group.fingerprint) if last else group.error or _NO_FAILURE,
        error=group.error,
        count=sum(counts.values()),
        dead=counts.get("dead", 0),
        parked=counts.get("parked", 0),
        first_since=min(one.first_since for one in groups),
        last_since=max(one.last_since for one in groups),
        example=f"{group.flow}/{group.partition}/{group.offset}",
        example_id=example.event_id if example else "",
        example_reason=last.reason if last else "",
    )
