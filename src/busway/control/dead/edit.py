"""Change the event of a dead letter: what may change, and that it is one afterwards."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from msgspec import Raw

from busway.control.dead.letter import place_of
from busway.errors import Conflict, EventError
from busway.event import Event, encode_members
from busway.lane import Audit, Trouble, Verdict
from busway.ports import Ledger

_decode = msgspec.json.Decoder(dict[str, Any]).decode


def edited(trouble: Trouble, raw: bytes) -> Trouble:
    """Return a trouble with another event in its place.

    Raises :class:`EventError` when that is not a valid CloudEvent, or not the same one: its ``id``
    and ``source`` must stay, because repeats and what has landed are known by them, and in an
    ordered flow its key, because it decides whom it waits for.
    """
    members = _members(raw)
    encode_members(members)
    event = Event.from_json(raw)
    before = Event.from_json(trouble.event)
    _ = event.envelope, event.data
    for name in ("id", "source"):
        was, now = getattr(before, name), getattr(event, name)
        if was != now:
            raise EventError(f"{place_of(trouble)}: {name} must stay {was!r}, not become {now!r}")
    if trouble.key is not None and event.key != trouble.key:
        raise EventError(
            f"{place_of(trouble)}: the flow is ordered, so the key (partitionkey, or else subject)"
            f" must stay {trouble.key!r}, not become {event.key!r}"
        )
    return msgspec.structs.replace(trouble, event=raw, event_key=event.key)


def edit_verdict(before: Trouble, after: Trouble, at: datetime, who: str) -> Verdict:
    """Return the verdict that puts an edited trouble in the place of what it was edited from."""
    place = (before.flow, before.partition, before.offset)
    return Verdict(*place, before.attempts, before.state, after, at, who=who, event=before.event)


def edit_audit(before: Trouble, after: Trouble, at: datetime, who: str, reason: str = "") -> Audit:
    """Return what the trail keeps of an edit: the event before and after."""
    images = (Raw(before.event), Raw(after.event))
    return Audit(at, who, "dead edit", f"dead/{place_of(before)}", *images, reason)


async def edit(ledger: Ledger, before: Trouble, raw: bytes, at: datetime, who: str) -> Trouble:
    """Put another event in the place of a dead letter's; return the letter as it is then.

    Raises :class:`EventError` for an event that may not be put there, and :class:`Conflict` when
    the letter is not as it was read any more.
    """
    after = edited(before, raw)
    if after.event == before.event:
        return before
    verdict = edit_verdict(before, after, at, who)
    if not all(await ledger.judge([verdict], [edit_audit(before, after, at, who)])):
        raise Conflict(f"{place_of(before)} was changed meanwhile; look at it again")
    return after


def _members(raw: bytes) -> dict[str, Any]:
    try:
        return _decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise EventError(f"the event is not a JSON object: {error}") from error
