"""Convert rows of the ledger's tables to records and back, however a database stores times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from busway.audit_record import AuditRecord
from busway.failed_event import FailedEvent, FailedEventGroup, Failure, ResolvedEvent
from busway.lane import Counts, Lane
from busway.settlement import SettledRange

Row = tuple[Any, ...]
OFFSET_MASK = (1 << 48) - 1
"""The offset in a number that has the partition in its upper bits."""
_encode_json = msgspec.json.Encoder().encode
_decode_failures = msgspec.json.Decoder(tuple[Failure, ...]).decode


class RowCodec:
    """Converts rows with the columns in the order of the tables, and times by two functions."""

    def __init__(
        self, encode_time: Callable[[datetime], Any], decode_time: Callable[[Any], datetime]
    ) -> None:
        self._encode_time = encode_time
        self._decode_time = decode_time

    def decode_lane(self, row: Row) -> Lane:
        flow, partition, start, cursor, *counts, worker, fencing_token = row
        return Lane(flow, partition, start, cursor, Counts(*counts), worker, fencing_token)

    def decode_settled_range(self, row: Row) -> SettledRange:
        flow, partition, start, end, version, first_at, last_at, *counts = row
        first, last = self._decode_time(first_at), self._decode_time(last_at)
        return SettledRange(flow, partition, start, end, version, first, last, Counts(*counts))

    def decode_failed_event(self, row: Row) -> FailedEvent:
        flow, partition, offset, event_id, state, since, attempts, due, key, *rest = row
        failures, event, event_key, error, fingerprint, attempt_started_at = rest
        return FailedEvent(
            flow=flow,
            partition=partition,
            offset=offset,
            event=event,
            event_id=event_id,
            state=state,
            since=self._decode_time(since),
            attempts=attempts,
            due=None if due is None else self._decode_time(due),
            key=key,
            failures=_decode_failures(failures),
            event_key=event_key,
            error=error,
            fingerprint=fingerprint,
            attempt_started_at=(
                None if attempt_started_at is None else self._decode_time(attempt_started_at)
            ),
        )

    def encode_failed_event(self, event: FailedEvent) -> Row:
        return (
            event.flow,
            event.partition,
            event.offset,
            event.event_id,
            event.state,
            self._encode_time(event.since),
            event.attempts,
            None if event.due is None else self._encode_time(event.due),
            event.key,
            _encode_json(event.failures),
            event.event,
            event.event_key,
            event.error,
            event.fingerprint,
            None
            if event.attempt_started_at is None
            else self._encode_time(event.attempt_started_at),
        )

    def decode_failed_event_group(self, row: Row) -> FailedEventGroup:
        flow, state, fingerprint, error, count, first, last, position = row
        since = (self._decode_time(first), self._decode_time(last))
        return FailedEventGroup(
            flow, state, fingerprint, error, count, *since, position >> 48, position & OFFSET_MASK
        )

    def decode_resolved_event(self, row: Row) -> ResolvedEvent:
        flow, partition, offset, event_id, outcome, at, attempts, failures, *rest = row
        key = (flow, partition, offset, event_id)
        return ResolvedEvent(
            *key, outcome, self._decode_time(at), attempts, _decode_failures(failures), *rest
        )

    def encode_resolved_event(self, event: ResolvedEvent) -> Row:
        failures = _encode_json(event.failures)
        key = (event.flow, event.partition, event.offset, event.event_id)
        rest = (event.event_key, event.version, event.actor, event.reason)
        return (*key, event.outcome, self._encode_time(event.at), event.attempts, failures, *rest)

    def decode_audit(self, row: Row) -> AuditRecord:
        at, actor, action, target, before, after, reason, seq = row
        images = (_raw_json(before), _raw_json(after))
        return AuditRecord(self._decode_time(at), actor, action, target, *images, reason, seq)

    def encode_audit(self, audit: AuditRecord) -> Row:
        images = [None if image is None else bytes(image) for image in (audit.before, audit.after)]
        return (
            self._encode_time(audit.at),
            audit.actor,
            audit.action,
            audit.target,
            *images,
            audit.reason,
        )


def _raw_json(value: bytes | None) -> msgspec.Raw | None:
    return None if value is None else msgspec.Raw(value)
