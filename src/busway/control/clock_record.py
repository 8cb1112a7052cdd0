"""Record the time in the ledger, to continue from it if the clock was set while nothing ran.

Due times are stored as wall-clock times. If the clock was set back by an hour, an event that is due
in three seconds would otherwise wait for an hour.
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
"""The correction that a time service may make while nothing runs."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_log = structlog.get_logger("busway")


class ClockRecord(msgspec.Struct, frozen=True):
    """A ``time``, with the monotonic seconds since the boot with ``boot_id``."""

    time: datetime
    monotonic_s: float
    boot_id: str


def boot_id() -> str:
    """Return the id of this boot of the machine, ``""`` if it has none."""
    with suppress(OSError):
        return _BOOT_ID.read_text().strip()
    return ""


async def resume_clock(ledger: Ledger, clock: Clock, boot: str) -> None:
    """Make a clock continue from the time that is recorded in a ledger, if it was set since."""
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
    """Return the time that follows from the ledger's record, ``None`` if the clock agrees.

    Within the boot that recorded it, the elapsed time is known. Otherwise the time is only known
    not to be earlier.
    """
    record, now = await _clock_record(ledger), clock.now()
    if record is None:
        return None
    if record.boot_id and record.boot_id == boot:
        expected = record.time + timedelta(seconds=max(clock.monotonic() - record.monotonic_s, 0.0))
        return None if abs(now - expected) <= _TOLERANCE else expected
    return None if record.time <= now else record.time


async def record_time(ledger: Ledger, clock: Clock, boot: str) -> None:
    """Record the current time, unless a later time is recorded and the clock was set back."""
    record, now = await _clock_record(ledger), clock.now()
    if record is None or record.boot_id == boot or not now <= record.time <= now + MAX_CLOCK_STEP:
        await ledger.put_value(
            CLOCK, msgspec.json.encode(ClockRecord(now, clock.monotonic(), boot))
        )


async def _clock_record(ledger: Ledger) -> ClockRecord | None:
    value = (await ledger.get_values(CLOCK)).get(CLOCK)
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=ClockRecord)
    except msgspec.MsgspecError:
        return None  # written by another version
