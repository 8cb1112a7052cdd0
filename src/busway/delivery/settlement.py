"""Settlement: from what became of each event of a range to one transaction. Pure."""

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
    """Why an event did not land: where, what, and whether trying again may help.

    One that is not ``counts_as_attempt`` uses no attempt up.
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
    """It waits behind an earlier event of its key; no attempt was made."""


MAX_ERROR_CHARS = 200
MAX_REASON_CHARS = 4_000
MAX_TRACEBACK_CHARS = 20_000
"""How many characters of a failure's name, reason and traceback are kept."""

EventOutcome = Literal["delivered", "filtered"] | FailedAttempt | BlockedByKey


class SettlementContext(msgspec.Struct, frozen=True):
    """What settling depends on beside the fates: flow, policy, time and chance.

    ``random_fraction`` is a random number from 0 up to 1, for jitter, ``fingerprinter`` gives
    fingerprints.
    """

    flow: str
    version: str
    backoff: Backoff
    ordered: bool
    at: datetime
    random_fraction: float
    fingerprinter: Fingerprinter = msgspec.field(default_factory=Fingerprinter)


class DecidedEvent(msgspec.Struct, frozen=True):
    """An event and its fate; an event of the range without one is filtered."""

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
    fresh = FailedEvent(
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
        fresh = record_failure(context, fresh, decided.outcome)
    behind = key is not None and waiting.get(key, 0) > 0
    return msgspec.structs.replace(fresh, due=None) if behind else fresh


def record_failure(
    context: SettlementContext, trouble: FailedEvent, attempt: FailedAttempt
) -> FailedEvent:
    """Return a trouble after one more failed attempt: parked until it is due, or dead."""
    attempts = trouble.attempts + 1
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
    failures = kept_failures((*trouble.failures, failure))
    age = context.at - _first_failure(failures).at
    dead = attempt.final or context.backoff.is_exhausted(
        attempts if attempt.counts_as_attempt else 0, age
    )
    after = (attempts, context.random_fraction, attempt.retry_after_s, age)
    due = None if dead else context.backoff.next_attempt_at(context.at, *after)
    state: FailedEventState = "dead" if dead else "parked"
    return msgspec.structs.replace(
        trouble,
        state=state,
        since=context.at if state != trouble.state else trouble.since,
        attempts=attempts if attempt.counts_as_attempt or dead else trouble.attempts,
        due=due,
        failures=failures,
        error=failure.error,
        fingerprint=context.fingerprinter.fingerprint_of(flow_of(context.flow), failure),
        attempt_started_at=None,
    )


def storable_text(text: str, max_chars: int) -> str:
    r"""Return a text as every ledger can hold it: not too long, in UTF-8, and without NUL.

    >>> storable_text("half a pair: \ud83d, NUL: \0, and much more", 24)
    'half a pair: \\ud83d, NU…'
    """
    if len(text) > max_chars:
        text = text[: max_chars - 1] + "…"
    text = text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= max_chars else text[: max_chars - 1] + "…"


def kept_failures(failures: Sequence[Failure], max_kept: int = 20) -> tuple[Failure, ...]:
    """Return the failures worth keeping: the first since all attempts began anew, and the last."""
    if len(failures) <= max_kept:
        return tuple(failures)
    last = failures[1 - max_kept :]
    first = _first_failure(failures)
    return (failures[0] if first in last else first, *last)


def _first_failure(failures: Sequence[Failure]) -> Failure:
    """Return the first failure since all attempts began anew."""
    found = next((n for n in range(len(failures) - 1, 0, -1) if failures[n].attempt == 1), 0)
    while found and failures[found - 1].attempt == 1 and not failures[found - 1].counts_as_attempt:
        found -= 1
    return failures[found]
