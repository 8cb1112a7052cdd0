"""An event that makes its destination seem down is told from one that finds it down."""

from __future__ import annotations

import pytest

from busway import Event
from busway.outcome import DELIVERED, Retry
from busway.ports import Item, Load
from busway.runtime.hold.suspect import Suspects
from busway.sink.http_answer import Unavailable

LANE = ("log", "flow", 0)


def load(offset: int) -> Load:
    return Load(LANE, [Item(offset, Event(type="t", source="/s"), (), "flow")])


@pytest.mark.parametrize("said", ["", "too many", "http 429: of mine"])
def test_the_reason_of_the_event_that_is_the_cause_names_its_answer_once(said: str) -> None:
    suspects, busy = Suspects(), Unavailable("http 429", said).down
    assert suspects.judged(suspects.set_out(), load(1), [busy]).outcomes == [busy]
    suspects.judged(suspects.set_out(), load(2), [DELIVERED])
    (found,) = suspects.judged(suspects.set_out(), load(1), [busy]).outcomes
    assert found == Retry("http 429", said)


def test_what_is_down_and_said_nothing_more_is_named_without_a_colon() -> None:
    assert Unavailable("http 503", "").down.reason == "http 503"
