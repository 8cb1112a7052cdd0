"""The records of the story of an event, which the API and the commands share."""

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
"""The state of an event in a flow: it arrived before the flow began, waits in the backlog, was
delivered, was filtered (by the rule or a step), was one of these two if the records cannot tell
which, is parked or a dead letter, was discarded, or is unknown because its records are gone."""


class WhyNot(msgspec.Struct, frozen=True):
    """The clause of a flow's rule that an event does not satisfy, and the event's value there."""

    place: str
    clause: str
    found: tuple[object, ...]
    text: str


class StoredResult(msgspec.Struct, frozen=True, kw_only=True):
    """The location of the results, as the sink declares it.

    ``row`` has the values of the key columns, if the flow has no steps. ``idempotency_key`` is that
    of the first result.
    """

    location: ResultLocation
    row: dict[str, object] | None = None
    idempotency_key: str | None = None


class OperatorAction(msgspec.Struct, frozen=True):
    """An action of an operator on the event, or on many events that include it."""

    at: datetime
    actor: str
    action: str
    reason: str = ""
    before: Raw = msgspec.field(default_factory=lambda: NULL)
    after: Raw = msgspec.field(default_factory=lambda: NULL)


class FlowStory(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the event in one flow, and how it got there.

    ``text`` is the state as a sentence. ``matched`` is whether the event matches the flow's rule
    (``null``: unknown), ``why_not`` the clause that failed. It was settled between ``since`` and
    ``until`` by code version ``version``. ``ahead`` is the number of events before it in the
    backlog, ``held`` what stops the flow from delivering now (``held_state``: ``paused``, ``down``,
    …). ``advice`` is what to do about it now. ``failures`` are the failed attempts, ``due`` is when
    a parked event is tried next, ``behind`` the id of the event of its key that it waits for.
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
    """The position of an event in the log."""

    partition: int
    offset: int


class RelatedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A cause or an effect of an event, with its own effects.

    ``flow`` is the flow that made it, if its id shows that.
    """

    id: str
    source: str
    type: str
    position: LogPosition
    appended_at: datetime
    flow: str | None = None
    effects: tuple[RelatedEvent, ...] = ()


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is known of one event.

    ``position`` is its position in the log, ``appended_at`` when it was appended; both are ``null``
    if only copies of it are left. ``others`` are events with the same id from another source or
    from before the deduplication window. ``causes`` are its causes, the nearest first.
    ``complete`` is false if the search of the log ran out of time; ``looked_back_to`` is how far
    back it went.
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
