"""Rows of the ledger's tables, as records and back."""

from __future__ import annotations

from datetime import datetime

import msgspec

from busway.engine.sqlite.database import Row
from busway.engine.sqlite.moment import restored, stored
from busway.engine.sqlite.reader import OFFSET
from busway.lane import Audit, Counts, Group, Lane, Resolved, Settled, Trouble
from busway.outcome import Failure

_encode = msgspec.json.Encoder().encode
_failures = msgspec.json.Decoder(tuple[Failure, ...]).decode


def lane(row: Row) -> Lane:
    flow, partition, start, cursor, *counts, worker, epoch = row
    return Lane(flow, partition, start, cursor, Counts(*counts), worker, epoch)


def settled(row: Row) -> Settled:
    flow, partition, start, end, version, first_at, last_at, *counts = row
    first, last = restored(first_at), restored(last_at)
    return Settled(flow, partition, start, end, version, first, last, Counts(*counts))


def trouble(row: Row) -> Trouble:
    flow, partition, offset, event_id, state, since, attempts, due, key, *rest = row
    failures, event, event_key, error, fingerprint, begun_at = rest
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
        event_key=event_key,
        error=error,
        fingerprint=fingerprint,
        begun_at=maybe_restored(begun_at),
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
        maybe_stored(trouble.due),
        trouble.key,
        _encode(trouble.failures),
        trouble.event,
        trouble.event_key,
        trouble.error,
        trouble.fingerprint,
        maybe_stored(trouble.begun_at),
    )


def moved_row(trouble: Trouble) -> Row:
    """Return where a trouble stands, then what must be as it was for that to be all that is new."""
    return (
        trouble.flow,
        trouble.partition,
        trouble.offset,
        trouble.state,
        stored(trouble.since),
        trouble.attempts,
        maybe_stored(trouble.due),
        maybe_stored(trouble.begun_at),
        trouble.event_id,
        trouble.key,
        _encode(trouble.failures),
        trouble.event,
        trouble.event_key,
        trouble.error,
        trouble.fingerprint,
    )


def group(row: Row) -> Group:
    flow, state, fingerprint, error, count, first, last, place = row
    since = (restored(first), restored(last))
    return Group(flow, state, fingerprint, error, count, *since, place >> 48, place & OFFSET)


def resolved(row: Row) -> Resolved:
    flow, partition, offset, event_id, became, at, attempts, failures, *rest = row
    place = (flow, partition, offset)
    return Resolved(*place, event_id, became, restored(at), attempts, _failures(failures), *rest)


def audit(row: Row) -> Audit:
    at, who, action, target, before, after, reason, seq = row
    return Audit(restored(at), who, action, target, _image(before), _image(after), reason, seq)


def _image(value: bytes | None) -> msgspec.Raw | None:
    return None if value is None else msgspec.Raw(value)


def audit_row(one: Audit) -> Row:
    images = [None if image is None else bytes(image) for image in (one.before, one.after)]
    return (stored(one.at), one.who, one.action, one.target, *images, one.reason)


def maybe_stored(at: datetime | None) -> int | None:
    return None if at is None else stored(at)


def maybe_restored(number: int | None) -> datetime | None:
    return None if number is None else restored(number)
