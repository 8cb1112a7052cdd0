"""What of a failure is kept: as much as every ledger can hold."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from busway.delivery.backoff import Backoff
from busway.delivery.settle import (
    LONGEST_ERROR,
    LONGEST_TEXT,
    Decided,
    Problem,
    Terms,
    settlement,
)
from busway.event import Event
from busway.lane import Trouble

AT = datetime(2030, 1, 1, tzinfo=UTC)
TERMS = Terms("f", "v1", Backoff(), ordered=False, at=AT, chance=0.5)


def trouble_of(problem: Problem) -> Trouble:
    event = Event(type="t", source="/s")
    (trouble,) = settlement(TERMS, (0, 0, 1), [Decided(0, event, problem)], {}).troubles
    return trouble


def test_the_name_of_an_error_is_kept_short() -> None:
    trouble = trouble_of(Problem("step", "E" * 5_000, "r" * 50_000, "t" * 50_000))
    (failure,) = trouble.failures
    assert trouble.error == failure.error == "E" * (LONGEST_ERROR - 1) + "…"
    assert failure.reason == "r" * (LONGEST_TEXT - 1) + "…"


def test_texts_are_writable_and_without_nul() -> None:
    trouble = trouble_of(Problem("sink", "a\0b\udc80", "half \ud83d, \0", "at \udfff"))
    (failure,) = trouble.failures
    assert trouble.error == r"a\x00b\udc80"
    assert (failure.reason, failure.traceback) == (r"half \ud83d, \x00", r"at \udfff")
    assert msgspec.json.decode(msgspec.json.encode(trouble), type=Trouble) == trouble
