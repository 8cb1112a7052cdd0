"""Pause and resume sources.

Each operation changes one record of the ledger by compare-and-set and adds an audit record. Every
process follows within about a second.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from busway.audit_record import AuditRecord
from busway.control.context import ControlContext
from busway.control.source.reader import READER, decode_reader
from busway.control.source.record import SOURCE_PAUSE, source_records
from busway.delivery.operator_control import Pause
from busway.errors import Conflict, NotFound, SettingsError
from busway.named_value import ValueChange
from busway.ports import Ledger


async def pause_source(
    control: ControlContext, name: str, actor: str, reason: str = "", until: datetime | None = None
) -> Pause:
    """Accept nothing from a source, until a time or until it is resumed.

    A request source answers 503 with Retry-After; a reader stops reading and keeps its position.
    Raises :class:`NotFound` for a name that no source has, and :class:`SettingsError` for a time
    that has passed.
    """
    now = control.clock.now()
    if until is not None and until <= now:
        raise SettingsError(f"until {until.isoformat()} has passed; it is {now.isoformat()}")
    await check_source(control.ledger, name)
    pause = Pause(now, actor, reason, until)
    await _change(
        control, name, AuditRecord(now, actor, "pause", f"source/{name}", reason=reason), pause
    )
    return pause


async def resume_source(
    control: ControlContext, name: str, actor: str, reason: str = "", *, skip_gap: bool = False
) -> None:
    """Accept events from a source again; a source that is not paused stays unchanged.

    A reader that a gap has stopped tries again at its position, or, with ``skip_gap``, continues
    behind the gap. Raises :class:`Conflict` if there is no gap to skip.
    """
    await check_source(control.ledger, name)
    audit = AuditRecord(control.clock.now(), actor, "resume", f"source/{name}", reason=reason)
    skipped = await _end_gap(control, name, audit, skip_gap=skip_gap)
    if skip_gap and not skipped:
        raise Conflict(f"source {name!r} is not stopped by a gap; resume it without skip_gap")
    await _change(control, name, audit, None)


async def _end_gap(
    control: ControlContext, name: str, audit: AuditRecord, *, skip_gap: bool
) -> bool:
    """Make a reader that a gap has stopped try again; return whether there was a gap."""
    key = READER + name
    while True:
        value = (await control.ledger.get_values(key)).get(key)
        fault = decode_reader(value).fault
        if value is None or fault is None or not fault.gap:
            return False
        resumed = replace(decode_reader(value), fault=None)
        if skip_gap:
            resumed = replace(resumed, position=fault.continue_at)
        after = msgspec.json.encode(resumed)
        audit = replace(
            audit,
            action="skip gap" if skip_gap else audit.action,
            before=Raw(value),
            after=Raw(after),
        )
        if await control.ledger.change_values([ValueChange(key, after, expected=value)], [audit]):
            control.wake()
            return True


async def check_source(ledger: Ledger, name: str) -> None:
    """Raise :class:`NotFound`, with the likely name, when no source has this name."""
    names = await source_records(ledger)
    if name not in names:
        raise NotFound.named("source", name, sorted(names))


async def _change(
    control: ControlContext, name: str, audit: AuditRecord, pause: Pause | None
) -> None:
    """Replace the pause of a source atomically, retrying on concurrent changes."""
    key = SOURCE_PAUSE + name
    after = None if pause is None else msgspec.json.encode(pause)
    while True:
        before = (await control.ledger.get_values(key)).get(key)
        if before == after:
            return
        images = [None if value is None else Raw(value) for value in (before, after)]
        audit = replace(audit, before=images[0], after=images[1])
        if await control.ledger.change_values([ValueChange(key, after, expected=before)], [audit]):
            control.wake()
            return
