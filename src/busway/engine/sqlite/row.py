"""Rows of the ledger's tables, as records and back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from busway.engine.sqlite.moment import restored, stored
from busway.outcome import Failure
from busway.ports import Counts, Lane, Settled, Trouble

Row = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode
_failures = msgspec.json.Decoder(tuple[Failure, ...]).decode


def lane(row: Row) -> Lane:
    return Lane(*row[:4], Counts(*row[4:]))


def settled(row: Row) -> Settled:
    return Settled(*row[:5], restored(row[5]), restored(row[6]), Counts(*row[7:]))


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
