"""The time that the ledger has seen: where a process continues if the machine's clock was set back
while nothing ran.

Due times are kept as times of day. So no process may begin earlier than the one before it ended:
what waits for three seconds would wait for as long as the clock was set back.
"""

from __future__ import annotations

from datetime import datetime

import msgspec
import structlog

from busway.clock import LONGEST_SET, Clock
from busway.ports import Ledger

CLOCK = "clock"
_log = structlog.get_logger("busway")
_decode = msgspec.json.Decoder(datetime).decode


async def continue_in_time(ledger: Ledger, clock: Clock) -> None:
    """Have a clock continue from the last time that is noted in a ledger, if it is behind that."""
    last, now = await noted(ledger), clock.now()
    if last is None or last <= now:
        return
    back = str(last - now).partition(".")[0]
    if clock.continue_from(last):
        _log.warning("the clock was set back: time continues from before", by=back)
    else:
        _log.error(
            "the clock was set back by more than a day: what is parked may wait for as long;"
            " redrive it",
            by=back,
        )


async def note_time(ledger: Ledger, clock: Clock) -> None:
    """Note what time it is, unless a later one is noted that a clock may be set back from."""
    last, now = await noted(ledger), clock.now()
    if last is None or not now <= last <= now + LONGEST_SET:
        await ledger.put(CLOCK, msgspec.json.encode(now))


async def noted(ledger: Ledger) -> datetime | None:
    """Return the last time that is noted in a ledger, if there is one."""
    found = (await ledger.get(CLOCK)).get(CLOCK)
    return None if found is None else _decode(found)
