"""Edit the event of a dead letter, and validate the result."""

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
    """Return a failed event with an edited event.

    Raises :class:`EventError` if that is not a valid CloudEvent, or if its identity changed: its
    ``id`` and ``source`` must stay because they identify duplicates and delivered events, and in an
    ordered flow the key must stay because it determines which events it waits for.
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
    """Return the resolution that replaces a failed event by its edited version."""
    return Resolution(
        *before.ref, before.attempts, before.state, after, at, actor=actor, event=before.event
    )


def edit_audit(
    before: FailedEvent, after: FailedEvent, at: datetime, actor: str, reason: str = ""
) -> AuditRecord:
    """Return the audit record of an edit: the event before and after."""
    images = (Raw(before.event), Raw(after.event))
    return AuditRecord(at, actor, "dead edit", f"dead/{place_of(before)}", *images, reason)


async def edit_dead_letter(
    ledger: Ledger, before: FailedEvent, raw: bytes, at: datetime, actor: str
) -> FailedEvent:
    """Replace the event of a dead letter; return the edited dead letter.

    Raises :class:`EventError` for an invalid edit, and :class:`Conflict` if the dead letter was
    changed since it was read.
    """
    after = apply_edit(before, raw)
    if after.event == before.event:
        return before
    resolution = edit_resolution(before, after, at, actor)
    if not all(await ledger.resolve([resolution], [edit_audit(before, after, at, actor)])):
        raise Conflict(f"{place_of(before)} was changed in the meantime; read it again")
    return after


def _decode_members(raw: bytes) -> dict[str, Any]:
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventError(f"the event is not a JSON object: {error}") from error
