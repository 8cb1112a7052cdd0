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

from busway.clock import MAX_CLOCK_STEP, Clock
from busway.ports import Ledger

CLOCK = "clock"
_TOLERANCE = timedelta(seconds=2)
"""What a time service may correct over days, while nothing runs."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = structlog.get_logger("busway")


class ClockRecord(msgspec.Struct, frozen=True):
    """What ``time`` it was, ``monotonic_s`` how many monotonic seconds since which ``boot_id``."""

    time: datetime
    monotonic_s: float
    boot_id: str


def boot_id() -> str:
    """Return what names this run of the machine, an empty text if it has no such name."""
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return ""


async def resume_clock(ledger: Ledger, clock: Clock, boot: str) -> None:
    """Have a clock continue from the time that is noted in a ledger, if it was set since."""
    now, expected = clock.now(), await expected_time(ledger, clock, boot)
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


async def expected_time(ledger: Ledger, clock: Clock, boot: str) -> datetime | None:
    """Return what the time should be by the note in a ledger, ``None`` if it may be what it is.

    On the machine that noted it, and has run since, the time that has passed is known. Elsewhere it
    is only known not to be earlier.
    """
    note, now = await _clock_record(ledger), clock.now()
    if note is None:
        return None
    if note.boot_id and note.boot_id == boot:
        expected = note.time + timedelta(seconds=max(clock.monotonic() - note.monotonic_s, 0.0))
        return None if abs(now - expected) <= _TOLERANCE else expected
    return None if note.time <= now else note.time


async def record_time(ledger: Ledger, clock: Clock, boot: str) -> None:
    """Note what time it is, unless a later one is noted that a clock may be set back from."""
    note, now = await _clock_record(ledger), clock.now()
    if note is None or note.boot_id == boot or not now <= note.time <= now + MAX_CLOCK_STEP:
        await ledger.put_value(
            CLOCK, msgspec.json.encode(ClockRecord(now, clock.monotonic(), boot))
        )


async def _clock_record(ledger: Ledger) -> ClockRecord | None:
    found = (await ledger.get_values(CLOCK)).get(CLOCK)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found, type=ClockRecord)
    except msgspec.MsgspecError:
        return None  # what another version has noted
