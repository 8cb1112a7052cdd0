"""Rows of the ledger's tables as records and back, whatever a database keeps times as."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from busway.lane import Audit, Counts, Group, Lane, Resolved, Settled, Trouble
from busway.outcome import Failure

Row = tuple[Any, ...]
OFFSET = (1 << 48) - 1
"""The part of a place as one number that is the offset; the partition is above it."""
_encode = msgspec.json.Encoder().encode
_failures = msgspec.json.Decoder(tuple[Failure, ...]).decode


class Rows:
    """The columns in the order of the tables; ``stored`` and ``restored`` turn times."""

    def __init__(
        self, stored: Callable[[datetime], Any], restored: Callable[[Any], datetime]
    ) -> None:
        self._stored = stored
        self._restored = restored

    def lane(self, row: Row) -> Lane:
        flow, partition, start, cursor, *counts, worker, epoch = row
        return Lane(flow, partition, start, cursor, Counts(*counts), worker, epoch)

    def settled(self, row: Row) -> Settled:
        flow, partition, start, end, version, first_at, last_at, *counts = row
        first, last = self._restored(first_at), self._restored(last_at)
        return Settled(flow, partition, start, end, version, first, last, Counts(*counts))

    def trouble(self, row: Row) -> Trouble:
        flow, partition, offset, event_id, state, since, attempts, due, key, *rest = row
        failures, event, event_key, error, fingerprint, begun_at = rest
        return Trouble(
            flow=flow,
            partition=partition,
            offset=offset,
            event=event,
            event_id=event_id,
            state=state,
            since=self._restored(since),
            attempts=attempts,
            due=None if due is None else self._restored(due),
            key=key,
            failures=_failures(failures),
            event_key=event_key,
            error=error,
            fingerprint=fingerprint,
            begun_at=None if begun_at is None else self._restored(begun_at),
        )

    def trouble_row(self, one: Trouble) -> Row:
        return (
            one.flow,
            one.partition,
            one.offset,
            one.event_id,
            one.state,
            self._stored(one.since),
            one.attempts,
            None if one.due is None else self._stored(one.due),
            one.key,
            _encode(one.failures),
            one.event,
            one.event_key,
            one.error,
            one.fingerprint,
            None if one.begun_at is None else self._stored(one.begun_at),
        )

    def group(self, row: Row) -> Group:
        flow, state, fingerprint, error, count, first, last, place = row
        since = (self._restored(first), self._restored(last))
        return Group(flow, state, fingerprint, error, count, *since, place >> 48, place & OFFSET)

    def resolved(self, row: Row) -> Resolved:
        flow, partition, offset, event_id, became, at, attempts, failures, *rest = row
        place = (flow, partition, offset, event_id)
        return Resolved(*place, became, self._restored(at), attempts, _failures(failures), *rest)

    def resolved_row(self, one: Resolved) -> Row:
        failures = _encode(one.failures)
        place = (one.flow, one.partition, one.offset, one.event_id)
        rest = (one.event_key, one.version, one.who, one.reason)
        return (*place, one.became, self._stored(one.at), one.attempts, failures, *rest)

    def audit(self, row: Row) -> Audit:
        at, who, action, target, before, after, reason, seq = row
        images = (_image(before), _image(after))
        return Audit(self._restored(at), who, action, target, *images, reason, seq)

    def audit_row(self, one: Audit) -> Row:
        images = [None if image is None else bytes(image) for image in (one.before, one.after)]
        return (self._stored(one.at), one.who, one.action, one.target, *images, one.reason)


def _image(value: bytes | None) -> msgspec.Raw | None:
    return None if value is None else msgspec.Raw(value)
