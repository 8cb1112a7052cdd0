"""An event that makes its destination seem down is told from one that finds it down."""

from __future__ import annotations

import pytest

from busway import Event
from busway.outcome import DELIVERED, Retry
from busway.ports import Load, LoadItem, SinkLane
from busway.runtime.admission.suspect_event import PoisonDetector
from busway.sink.http.response import Unavailable

LANE = SinkLane("log", "flow", 0)


def load(offset: int) -> Load:
    return Load(LANE, [LoadItem(offset, Event(type="t", source="/s"), (), "flow")])


@pytest.mark.parametrize("said", ["", "too many", "http 429: of mine"])
def test_the_reason_of_the_event_that_is_the_cause_names_its_answer_once(said: str) -> None:
    suspects, busy = PoisonDetector(), Unavailable("http 429", said).as_down
    assert suspects.examine(suspects.start_load(), load(1), [busy]).outcomes == [busy]
    suspects.examine(suspects.start_load(), load(2), [DELIVERED])
    (found,) = suspects.examine(suspects.start_load(), load(1), [busy]).outcomes
    assert found == Retry("http 429", said)


def test_what_is_down_and_said_nothing_more_is_named_without_a_colon() -> None:
    assert Unavailable("http 503", "").as_down.reason == "http 503"
