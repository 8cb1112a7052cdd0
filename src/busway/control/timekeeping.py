"""The time that the ledger has seen: where a process continues if the machine's clock was set
while nothing ran.

Due times are kept as times of day. So a process continues from the time of the one before it: what
waits for three seconds would else wait for as long as the clock was set back.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from busway.clock import LONGEST_SET, Clock
from busway.ports import Ledger

CLOCK = "clock"
_TOLERANCE = timedelta(seconds=2)
"""What a time service may correct over days, while nothing runs."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = structlog.get_logger("busway")


class Note(msgspec.Struct, frozen=True):
    """What ``time`` it was, ``at`` how many monotonic seconds since which ``boot``."""

    time: datetime
    at: float
    boot: str


def boot_id() -> str:
    """Return what names this run of the machine, an empty text if it has no such name."""
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return ""


async def continue_in_time(ledger: Ledger, clock: Clock, boot: str) -> None:
    """Have a clock continue from the time that is noted in a ledger, if it was set since."""
    now, expected = clock.now(), await expected_now(ledger, clock, boot)
    if expected is None:
        return
    forward_s = round((now - expected).total_seconds())
    if clock.continue_from(expected):
        _log.warning(
            "the clock was set while nothing ran: time continues from before", forward_s=forward_s
        )
    else:
        _log.error(
            "the clock was set by more than a day: what is parked may be early or late by as much",
            forward_s=forward_s,
        )


async def expected_now(ledger: Ledger, clock: Clock, boot: str) -> datetime | None:
    """Return what the time should be by the note in a ledger, ``None`` if it may be what it is.

    On the machine that noted it, and has run since, the time that has passed is known. Elsewhere it
    is only known not to be earlier.
    """
    note, now = await _noted(ledger), clock.now()
    if note is None:
        return None
    if note.boot and note.boot == boot:
        expected = note.time + timedelta(seconds=max(clock.monotonic() - note.at, 0.0))
        return None if abs(now - expected) <= _TOLERANCE else expected
    return None if note.time <= now else note.time


async def note_time(ledger: Ledger, clock: Clock, boot: str) -> None:
    """Note what time it is, unless a later one is noted that a clock may be set back from."""
    note, now = await _noted(ledger), clock.now()
    if note is None or note.boot == boot or not now <= note.time <= now + LONGEST_SET:
        await ledger.put(CLOCK, msgspec.json.encode(Note(now, clock.monotonic(), boot)))


async def _noted(ledger: Ledger) -> Note | None:
    found = (await ledger.get(CLOCK)).get(CLOCK)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found, type=Note)
    except msgspec.MsgspecError:
        return None  # what another version has noted
