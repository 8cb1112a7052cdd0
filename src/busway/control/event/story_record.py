"""The story of one event: what the records say, in the words that API and commands share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
from msgspec import Raw

from busway.failed_event import Failure
from busway.ports import ResultLocation

NULL = Raw(b"null")
EventState = Literal[
    "before_start",
    "waiting",
    "delivered",
    "filtered",
    "delivered_or_filtered",
    "parked",
    "dead",
    "discarded",
    "unknown",
]
"""Where an event is in a flow: it came before the flow began, waits in its backlog, was delivered,
was filtered (by the rule or a step), one of these two where what is kept does not tell them apart,
is parked or a dead letter, was discarded, or nothing is known of it any more."""


class WhyNot(msgspec.Struct, frozen=True):
    """The clause of a flow's rule that an event does not satisfy, and what it has there."""

    place: str
    clause: str
    found: tuple[object, ...]
    text: str


class StoredResult(msgspec.Struct, frozen=True, kw_only=True):
    """Where the results are, as the sink declares it.

    ``row`` are the values of the key columns, where a flow without steps tells them.
    ``idempotency_key`` is that of the first result.
    """

    location: ResultLocation
    row: dict[str, object] | None = None
    idempotency_key: str | None = None


class OperatorAction(msgspec.Struct, frozen=True):
    """What a person did about the event, or about many of which it was one."""

    at: datetime
    actor: str
    action: str
    reason: str = ""
    before: Raw = msgspec.field(default_factory=lambda: NULL)
    after: Raw = msgspec.field(default_factory=lambda: NULL)


class FlowStory(msgspec.Struct, frozen=True, kw_only=True):
    """One flow's part: where the event stands in it, and what is known of how it came there.

    ``text`` says it in a sentence. ``matched`` is whether the flow's rule wants it (``null``: not
    known), ``why_not`` the clause that failed. ``since`` and ``until`` are between which times it
    happened; ``version`` is the code version that did it. ``ahead`` is how many events of the
    backlog come before it, ``held`` what keeps the flow from delivering now (``held_state``:
    ``paused``, ``down``, …). ``advice`` is what there is to do about it now. ``failures`` are the
    attempts that failed, ``due`` is when a parked event is tried next, ``behind`` the id of the
    event of its key that it waits for.
    """

    flow: str
    state: EventState
    text: str
    replay: str | None = None
    declared: bool = True
    matched: bool | None = None
    why_not: WhyNot | None = None
    since: datetime | None = None
    until: datetime | None = None
    version: str = ""
    destination: str = ""
    result: StoredResult | None = None
    ahead: int | None = None
    held: str = ""
    held_state: str = ""
    attempts: int = 0
    failures: tuple[Failure, ...] = ()
    due: datetime | None = None
    behind: str | None = None
    operator_actions: tuple[OperatorAction, ...] = ()
    advice: str = ""


class LogPosition(msgspec.Struct, frozen=True):
    """Where an event is in the log."""

    partition: int
    offset: int


class RelatedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that caused another one, or was caused by it, with what that caused in turn.

    ``flow`` is the flow that made it, where its id tells.
    """

    id: str
    source: str
    type: str
    position: LogPosition
    appended_at: datetime
    flow: str | None = None
    effects: tuple[RelatedEvent, ...] = ()


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one event.

    ``place`` is where it is in the log, ``appended_at`` when it was appended, both ``null`` where
    only copies of it are left. ``others`` are events with the same id, of another source or longer
    ago than repeats are recognised. ``causes`` are the events that led to it, the nearest first.
    ``complete`` is false when not all of the log could be looked at in time; ``looked_back_to`` is
    how far it went.
    """

    id: str
    source: str
    type: str = ""
    key: str | None = None
    time: datetime | None = None
    position: LogPosition | None = None
    appended_at: datetime | None = None
    event: Raw = msgspec.field(default_factory=lambda: NULL)
    others: tuple[RelatedEvent, ...] = ()
    flows: Sequence[FlowStory] = ()
    causes: tuple[RelatedEvent, ...] = ()
    effects: tuple[RelatedEvent, ...] = ()
    complete: bool = True
    looked_back_to: datetime | None = None
