"""Dead letters in a ledger, for tests of what is done with them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from busway.delivery.fingerprint import fingerprint
from busway.failed_event import FailedEvent, FailedEventState, Failure
from busway.lane import Counts
from busway.ports import Ledger
from busway.settlement import Settlement

AT = datetime(2030, 1, 1, tzinfo=UTC)
FLOW = "orders"


def event(number: int, **more: Any) -> bytes:
    """Return the bytes of an event."""
    found = {"specversion": "1.0", "id": f"e{number}", "source": "/shop", "type": "made"}
    return json.dumps(found | {"data": {"n": number}} | more).encode()


def letter(
    offset: int, *, key: str | None = None, error: str = "KeyError", **more: Any
) -> FailedEvent:
    """Return a dead letter of partition 0 of the flow; ``key`` is that of an ordered flow."""
    failure = Failure(3, AT, "step", error, f"no {offset}")
    raw = event(offset) if key is None else event(offset, partitionkey=key)
    found = FailedEvent(
        flow=FLOW,
        partition=0,
        offset=offset,
        event=raw,
        event_id=f"e{offset}",
        state="dead",
        since=AT,
        attempts=3,
        key=key,
        failures=(failure,),
        event_key=key,
        error=error,
        fingerprint=fingerprint(failure),
    )
    return msgspec.structs.replace(found, **more)


def parked(offset: int, key: str | None = None, due: datetime | None = AT) -> FailedEvent:
    """Return a parked event."""
    return letter(offset, key=key, state="parked", due=due, attempts=1)


async def filled(ledger: Ledger, *letters: FailedEvent) -> None:
    """Settle lanes whose events all are troubles, their offsets from 0 on."""
    flows = sorted({one.flow for one in letters})
    for flow in flows:
        own = tuple(one for one in letters if one.flow == flow)
        await ledger.open_lane(flow, 0, 0)
        counts = Counts(parked=_count(own, "parked"), dead=_count(own, "dead"))
        settlement = Settlement(flow, 0, 0, len(own), AT, "v1", counts, own)
        assert all(await ledger.settle([settlement]))


def _count(letters: tuple[FailedEvent, ...], state: FailedEventState) -> int:
    return sum(one.state == state for one in letters)
