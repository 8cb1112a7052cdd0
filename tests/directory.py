"""Data directories made quickly, of any size, for moves: with all kinds of records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from busway.audit_record import AuditRecord
from busway.engine.registry import open_stores
from busway.failed_event import FailedEvent, FailedEventQuery, Failure, Resolution
from busway.lane import Counts
from busway.named_value import ValueChange
from busway.ports import Ledger, Log, LogBatch, NewBatch, Stores
from busway.settings import Settings
from busway.settlement import Settlement

AT = datetime(2030, 1, 1, tzinfo=UTC)
PARTITIONS = 3
FLOW = "orders"


async def make_directory(path: Path, events: int, *, each: int = 10, bad: int = 7) -> None:
    """Make a directory with so many events in each partition, ``each`` in a batch.

    Every ``bad``-th of the settled ones, all but the last fifth, is a trouble.
    """
    async with opened(path) as stores:
        await append(stores.log, events, each=each)
        for partition in range(PARTITIONS):
            await stores.ledger.open_lane(FLOW, partition, 0)
            await settle(stores.ledger, partition, 0, events * 4 // 5, bad=bad)
        await _note(stores.ledger)
        for partition in range(PARTITIONS):
            await stores.log.trim(partition, events // 10)


def opened(path: Path) -> _Opened:
    """Open a directory until the end of a block."""
    return _Opened(Settings(data=path, partitions=PARTITIONS))


class _Opened:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Stores:
        self._stores = await open_stores(self._settings)
        return self._stores

    async def __aexit__(self, *_: object) -> None:
        await self._stores.close()


async def append(log: Log, events: int, *, each: int = 10, first: int = 0) -> None:
    """Append events to each partition, a batch a second."""
    for start in range(first, first + events, each):
        numbers = range(start, min(start + each, first + events))
        drafts = [NewBatch(p, [_event(p, n) for n in numbers]) for p in range(PARTITIONS)]
        await log.append(drafts, AT + timedelta(seconds=start, microseconds=start))


async def settle(ledger: Ledger, partition: int, start: int, end: int, *, bad: int) -> None:
    """Settle a range; of its bad ones every other one is dead, the others are parked."""
    at = AT + timedelta(days=1)
    for first in range(start, end, 1_000):
        last = min(first + 1_000, end)
        troubles = tuple(_trouble(partition, n) for n in range(first, last) if n % bad == 0)
        parked = sum(one.state == "parked" for one in troubles)
        dead = len(troubles) - parked
        counts = Counts(delivered=last - first - len(troubles), parked=parked, dead=dead)
        place = (FLOW, partition, first, last, at + timedelta(hours=first))
        (done,) = await ledger.settle([Settlement(*place, "v1", counts, troubles)])
        assert done


async def _note(ledger: Ledger) -> None:
    gone = _trouble(0, 0)
    verdict = Resolution(FLOW, 0, 0, 1, gone.state, "discarded", AT, actor="ann", reason="a test")
    noted = AuditRecord(
        AT, "ann", "discard", "dead/orders", msgspec.Raw(b'{"n":0}'), None, "a test"
    )
    assert await ledger.resolve([verdict], [noted]) == [True]
    await ledger.change_values(
        [ValueChange(f"flow/{n}", b'{"n":%d}' % n) for n in range(5)]
        + [
            ValueChange("worker/w", b"{}"),
            ValueChange("duty/maintenance", b"w"),
            ValueChange("in-flight/x/0", b"{}"),
        ],
        [AuditRecord(AT, "ann", "pause", "flow/orders", after=msgspec.Raw(b"true"))],
    )


async def everything(stores: Stores) -> dict[str, object]:
    """Return all that two stores hold, as it is read, but for what is kept about a move."""
    log, ledger = stores.log, stores.ledger
    kept = await ledger.get_values("")
    audits = [one for one in await ledger.audit_records(limit=1_000) if one.action != "move"]
    return {
        "identity": log.identity,
        "bounds": [await log.bounds(p) for p in range(log.partitions)],
        "batches": [await _batches(log, p) for p in range(log.partitions)],
        "lanes": [msgspec.structs.replace(one, worker=None) for one in await ledger.lanes()],
        "failed_events": await ledger.failed_events(FailedEventQuery(limit=1_000_000)),
        "settled_ranges": await ledger.settled_ranges(FLOW),
        "resolved_events": await ledger.resolved_events("0-0"),
        "values": {name: value for name, value in kept.items() if name.startswith("flow/")},
        "audit_records": audits,
    }


async def held(path: Path) -> dict[str, object]:
    """Return all that a directory holds."""
    async with opened(path) as stores:
        return await everything(stores)


async def held_by(settings: Settings) -> dict[str, object]:
    """Return all that an engine holds."""
    async with _Opened(settings) as stores:
        return await everything(stores)


async def _batches(log: Log, partition: int) -> list[LogBatch]:
    found: list[LogBatch] = []
    offset, end = await log.bounds(partition)
    while offset < end:
        read = await log.read(partition, offset, 1 << 20)
        found += read
        offset = read[-1].end if read else end  # a hole
    return found


def _event(partition: int, n: int) -> bytes:
    return b'{"id":"%d-%d","source":"/s","type":"t","data":{"n":%d}}' % (partition, n, n)


def _trouble(partition: int, n: int) -> FailedEvent:
    state = "parked" if n % 2 else "dead"
    failure = Failure(1, AT, "step", "KeyError", f"no {n}", version="v1")
    return FailedEvent(
        FLOW,
        partition,
        n,
        _event(partition, n),
        f"{partition}-{n}",
        "parked" if state == "parked" else "dead",
        AT,
        1,
        due=AT + timedelta(days=365) if state == "parked" else None,
        key=f"k{n}" if n % 3 else None,
        failures=(failure,),
        event_key=f"k{n}",
        error="KeyError",
        fingerprint="f",
        attempt_started_at=AT if n % 5 == 1 else None,
    )
