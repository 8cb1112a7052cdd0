"""Settlement: combines the outcomes of a range of events into one transaction. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from busway.delivery.backoff import Backoff
from busway.delivery.fingerprint import Fingerprinter
from busway.event import Event, original_json
from busway.failed_event import FailedEvent, FailedEventState, Failure
from busway.lane import Counts, flow_of
from busway.settlement import OffsetRange, Settlement


class FailedAttempt(msgspec.Struct, frozen=True):
    """Why an attempt failed: the stage, the error, and whether the failure is final.

    ``counts_as_attempt`` is whether one of the event's attempts is used up.
    """

    stage: Literal["rule", "step", "sink"]
    error: str
    reason: str
    traceback: str | None = None
    final: bool = False
    retry_after_s: float | None = None
    took_ms: float | None = None
    counts_as_attempt: bool = True


class BlockedByKey(msgspec.Struct, frozen=True):
    """The event waits behind an earlier event of its key; no attempt was made."""


MAX_ERROR_CHARS = 200
MAX_REASON_CHARS = 4_000
MAX_TRACEBACK_CHARS = 20_000
"""The maximum lengths of a failure's name, reason and traceback, in characters."""

EventOutcome = Literal["delivered", "filtered"] | FailedAttempt | BlockedByKey


class SettlementContext(msgspec.Struct, frozen=True):
    """The inputs of a settlement other than the outcomes: flow, policy, time and randomness.

    ``random_fraction`` is a random number from 0 up to 1, for jitter.
    """

    flow: str
    version: str
    backoff: Backoff
    ordered: bool
    at: datetime
    random_fraction: float
    fingerprinter: Fingerprinter = msgspec.field(default_factory=Fingerprinter)


class DecidedEvent(msgspec.Struct, frozen=True):
    """An event and its outcome; events of the range without an outcome are filtered."""

    offset: int
    event: Event
    outcome: EventOutcome


def settlement(
    context: SettlementContext,
    offsets: OffsetRange,
    decided_events: Sequence[DecidedEvent],
    parked_keys: Mapping[str, int],
    more_delivered: int = 0,
) -> Settlement:
    """Return the settlement of a range of offsets.

    ``decided_events`` is in order of offsets. ``parked_keys`` counts, for an ordered flow, the
    events that are parked already, by key: a parked event is due only if no event of its key is
    parked before it. ``more_delivered`` is the number of further delivered events of the range.
    """
    waiting = Counter(parked_keys)
    failed_events: list[FailedEvent] = []
    delivered = more_delivered
    for decided in decided_events:
        if decided.outcome == "delivered":
            delivered += 1
        elif not isinstance(decided.outcome, str):
            failed = _failed_event(context, offsets.partition, decided, waiting)
            failed_events.append(failed)
            if failed.key is not None and failed.state == "parked":
                waiting[failed.key] += 1
    parked = sum(1 for failed in failed_events if failed.state == "parked")
    filtered = offsets.end - offsets.start - delivered - len(failed_events)
    return Settlement(
        context.flow,
        offsets.partition,
        offsets.start,
        offsets.end,
        context.at,
        context.version,
        Counts(delivered, filtered, parked, len(failed_events) - parked),
        tuple(failed_events),
    )


def _failed_event(
    context: SettlementContext, partition: int, decided: DecidedEvent, waiting: Mapping[str, int]
) -> FailedEvent:
    key = decided.event.key if context.ordered else None
    failed_event = FailedEvent(
        context.flow,
        partition,
        decided.offset,
        original_json(decided.event),
        decided.event.id,
        "parked",
        context.at,
        attempts=0,
        due=context.at,
        key=key,
        event_key=decided.event.key,
    )
    if isinstance(decided.outcome, FailedAttempt):
        failed_event = record_failure(context, failed_event, decided.outcome)
    is_blocked = key is not None and waiting.get(key, 0) > 0
    return msgspec.structs.replace(failed_event, due=None) if is_blocked else failed_event


def record_failure(
    context: SettlementContext, failed_event: FailedEvent, attempt: FailedAttempt
) -> FailedEvent:
    """Return a failed event after one more failed attempt: parked until it is due, or dead."""
    attempts = failed_event.attempts + 1
    failure = Failure(
        attempts,
        context.at,
        attempt.stage,
        storable_text(attempt.error, MAX_ERROR_CHARS),
        storable_text(attempt.reason, MAX_REASON_CHARS),
        None
        if attempt.traceback is None
        else storable_text(attempt.traceback, MAX_TRACEBACK_CHARS),
        context.version,
        attempt.took_ms,
        attempt.counts_as_attempt,
    )
    failures = kept_failures((*failed_event.failures, failure))
    age = context.at - _first_failure(failures).at
    is_dead = attempt.final or context.backoff.is_exhausted(
        attempts if attempt.counts_as_attempt else 0, age
    )
    retry = (attempts, context.random_fraction, attempt.retry_after_s, age)
    due = None if is_dead else context.backoff.next_attempt_at(context.at, *retry)
    state: FailedEventState = "dead" if is_dead else "parked"
    return msgspec.structs.replace(
        failed_event,
        state=state,
        since=context.at if state != failed_event.state else failed_event.since,
        attempts=attempts if attempt.counts_as_attempt or is_dead else failed_event.attempts,
        due=due,
        failures=failures,
        error=failure.error,
        fingerprint=context.fingerprinter.fingerprint_of(flow_of(context.flow), failure),
        attempt_started_at=None,
    )


def storable_text(text: str, max_chars: int) -> str:
    r"""Return a text that every ledger can store: bounded, valid UTF-8, and without NUL.

    >>> storable_text("half a pair: \ud83d, NUL: \0, and much more", 24)
    'half a pair: \\ud83d, NU…'
    """
    if len(text) > max_chars:
        text = text[: max_chars - 1] + "…"
    text = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def kept_failures(failures: Sequence[Failure], max_kept: int = 20) -> tuple[Failure, ...]:
    """Return the failures to keep: the first one since the last restart of attempts, and the last
    ones."""
    if len(failures) <= max_kept:
        return tuple(failures)
    last = failures[1 - max_kept :]
    first = _first_failure(failures)
    return (failures[0] if first in last else first, *last)


def _first_failure(failures: Sequence[Failure]) -> Failure:
    """Return the first failure since the attempts were last restarted."""
    index = next((n for n in range(len(failures) - 1, 0, -1) if failures[n].attempt == 1), 0)
    while index and failures[index - 1].attempt == 1 and not failures[index - 1].counts_as_attempt:
        index -= 1
    return failures[index]
