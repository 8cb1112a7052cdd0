"""Rows of the ledger's tables in PostgreSQL, as records and back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.engine.postgres.database import Row
from busway.lane import Audit, Counts, Group, Lane, Resolved, Settled, Trouble
from busway.outcome import Failure

OFFSET = (1 << 48) - 1
"""The part of a place as one number that is the offset; the partition is above it."""
_encode = msgspec.json.Encoder().encode
_failures = msgspec.json.Decoder(tuple[Failure, ...]).decode


def lane(row: Row) -> Lane:
    flow, partition, start, cursor, *counts, worker, epoch = row
    return Lane(flow, partition, start, cursor, Counts(*counts), worker, epoch)


def settled(row: Row) -> Settled:
    flow, partition, start, end, version, first_at, last_at, *counts = row
    return Settled(flow, partition, start, end, version, first_at, last_at, Counts(*counts))


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
        since=since,
        attempts=attempts,
        due=due,
        key=key,
        failures=_failures(failures),
        event_key=event_key,
        error=error,
        fingerprint=fingerprint,
        begun_at=begun_at,
    )


def trouble_row(one: Trouble) -> Row:
    return (
        one.flow,
        one.partition,
        one.offset,
        one.event_id,
        one.state,
        one.since,
        one.attempts,
        one.due,
        one.key,
        _encode(one.failures),
        one.event,
        one.event_key,
        one.error,
        one.fingerprint,
        one.begun_at,
    )


def columns(rows: Sequence[Row]) -> Sequence[Row]:
    """Return rows as columns, for a statement that takes arrays."""
    return list(zip(*rows, strict=True))


def group(row: Row) -> Group:
    flow, state, fingerprint, error, count, first, last, place = row
    place = (place >> 48, place & OFFSET)
    return Group(flow, state, fingerprint, error, count, first, last, *place)


def resolved(row: Row) -> Resolved:
    flow, partition, offset, event_id, became, at, attempts, failures, *rest = row
    return Resolved(
        flow, partition, offset, event_id, became, at, attempts, _failures(failures), *rest
    )


def resolved_row(one: Resolved) -> Row:
    failures = _encode(one.failures)
    place = (one.flow, one.partition, one.offset, one.event_id)
    rest = (one.event_key, one.version, one.who, one.reason)
    return (*place, one.became, one.at, one.attempts, failures, *rest)


def audit(row: Row) -> Audit:
    at, who, action, target, before, after, reason, seq = row
    return Audit(at, who, action, target, _image(before), _image(after), reason, seq)


def audit_row(one: Audit) -> Row:
    images = [None if image is None else bytes(image) for image in (one.before, one.after)]
    return (one.at, one.who, one.action, one.target, *images, one.reason)


def _image(value: bytes | None) -> msgspec.Raw | None:
    return None if value is None else msgspec.Raw(value)
