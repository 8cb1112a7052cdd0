"""What of a failure is kept: as much as every ledger can hold."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from busway.delivery.backoff import Backoff
from busway.delivery.settlement import (
    MAX_ERROR_CHARS,
    MAX_REASON_CHARS,
    DecidedEvent,
    FailedAttempt,
    SettlementContext,
    settlement,
)
from busway.event import Event
from busway.failed_event import FailedEvent
from busway.settlement import OffsetRange

AT = datetime(2030, 1, 1, tzinfo=UTC)
TERMS = SettlementContext("f", "v1", Backoff(), ordered=False, at=AT, random_fraction=0.5)


def trouble_of(problem: FailedAttempt) -> FailedEvent:
    event = Event(type="t", source="/s")
    (trouble,) = settlement(
        TERMS, OffsetRange(0, 0, 1), [DecidedEvent(0, event, problem)], {}
    ).failed_events
    return trouble


def test_the_name_of_an_error_is_kept_short() -> None:
    trouble = trouble_of(FailedAttempt("step", "E" * 5_000, "r" * 50_000, "t" * 50_000))
    (failure,) = trouble.failures
    assert trouble.error == failure.error == "E" * (MAX_ERROR_CHARS - 1) + "…"
    assert failure.reason == "r" * (MAX_REASON_CHARS - 1) + "…"


def test_texts_are_writable_and_without_nul() -> None:
    trouble = trouble_of(FailedAttempt("sink", "a\0b\udc80", "half \ud83d, \0", "at \udfff"))
    (failure,) = trouble.failures
    assert trouble.error == r"a\x00b\udc80"
    assert (failure.reason, failure.traceback) == (r"half \ud83d, \x00", r"at \udfff")
    assert msgspec.json.decode(msgspec.json.encode(trouble), type=FailedEvent) == trouble
