"""Rows of the ledger's tables, as records and back."""

from __future__ import annotations

from datetime import datetime

import msgspec

from busway.engine.sqlite.database import Row
from busway.engine.sqlite.moment import restored, stored
from busway.lane import Counts, Lane, Settled, Trouble
from busway.outcome import Failure

_encode = msgspec.json.Encoder().encode
_failures = msgspec.json.Decoder(tuple[Failure, ...]).decode


def lane(row: Row) -> Lane:
    flow, partition, start, cursor, *counts = row
    return Lane(flow, partition, start, cursor, Counts(*counts))


def settled(row: Row) -> Settled:
    flow, partition, start, end, version, first_at, last_at, *counts = row
    first, last = restored(first_at), restored(last_at)
    return Settled(flow, partition, start, end, version, first, last, Counts(*counts))


def trouble(row: Row) -> Trouble:
    flow, partition, offset, event_id, state, since, attempts, due, key, failures, event = row
    return Trouble(
        flow=flow,
        partition=partition,
        offset=offset,
        event=event,
        event_id=event_id,
        state=state,
        since=restored(since),
        attempts=attempts,
        due=maybe_restored(due),
        key=key,
        failures=_failures(failures),
    )


def trouble_row(trouble: Trouble) -> Row:
    return (
        trouble.flow,
        trouble.partition,
        trouble.offset,
        trouble.event_id,
        trouble.state,
        stored(trouble.since),
        trouble.attempts,
        None if trouble.due is None else stored(trouble.due),
        trouble.key,
        _encode(trouble.failures),
        trouble.event,
    )


def maybe_restored(number: int | None) -> datetime | None:
    return None if number is None else restored(number)
