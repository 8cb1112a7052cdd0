"""Change the event of a dead letter: what may change, and that it is one afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from busway.audit_record import AuditRecord
from busway.control.dead_letter.dead_letter import place_of
from busway.errors import Conflict, EventError
from busway.event import Event, encode_members
from busway.failed_event import FailedEvent, Resolution
from busway.ports import Ledger

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def apply_edit(failed_event: FailedEvent, raw: bytes) -> FailedEvent:
    """Return a trouble with another event in its place.

    Raises :class:`EventError` when that is not a valid CloudEvent, or not the same one: its ``id``
    and ``source`` must stay, because repeats and what has landed are known by them, and in an
    ordered flow its key, because it decides whom it waits for.
    """
    members = _decode_members(raw)
    encode_members(members)
    event = Event.from_json(raw)
    before = Event.from_json(failed_event.event)
    _ = event.envelope, event.data
    for name in ("id", "source"):
        was, now = getattr(before, name), getattr(event, name)
        if was != now:
            raise EventError(
                f"{place_of(failed_event)}: {name} must stay {was!r}, not become {now!r}"
            )
    if failed_event.key is not None and event.key != failed_event.key:
        raise EventError(
            f"{place_of(failed_event)}: the flow is ordered, so the key (partitionkey, or else"
            " subject)"
            f" must stay {failed_event.key!r}, not become {event.key!r}"
        )
    return msgspec.structs.replace(failed_event, event=raw, event_key=event.key)


def edit_resolution(
    before: FailedEvent, after: FailedEvent, at: datetime, actor: str
) -> Resolution:
    """Return the resolution that puts an edited trouble in the place of what it was edited from."""
    place = (before.flow, before.partition, before.offset)
    return Resolution(
        *place, before.attempts, before.state, after, at, actor=actor, event=before.event
    )


def edit_audit(
    before: FailedEvent, after: FailedEvent, at: datetime, actor: str, reason: str = ""
) -> AuditRecord:
    """Return what the trail keeps of an edit: the event before and after."""
    images = (Raw(before.event), Raw(after.event))
    return AuditRecord(at, actor, "dead edit", f"dead/{place_of(before)}", *images, reason)


async def edit_dead_letter(
    ledger: Ledger, before: FailedEvent, raw: bytes, at: datetime, actor: str
) -> FailedEvent:
    """Put another event in the place of a dead letter's; return the letter as it is then.

    Raises :class:`EventError` for an event that may not be put there, and :class:`Conflict` when
    the letter is not as it was read any more.
    """
    after = apply_edit(before, raw)
    if after.event == before.event:
        return before
    resolution = edit_resolution(before, after, at, actor)
    if not all(await ledger.resolve([resolution], [edit_audit(before, after, at, actor)])):
        raise Conflict(f"{place_of(before)} was changed meanwhile; look at it again")
    return after


def _decode_members(raw: bytes) -> dict[str, Any]:
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventError(f"the event is not a JSON object: {error}") from error
