"""What is told of an event is never wrong, whatever happened to it and to those beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from busway.control.event.disposition import EventEvidence, RangeTally, disposition
from busway.control.record import VersionRecord
from busway.failed_event import FailedEvent, Failure, ResolvedEvent
from busway.lane import Counts, Lane
from busway.settlement import SettledRange

AT = datetime(2030, 1, 1, tzinfo=UTC)
RULE = {"data": {"wanted": [True]}}
Became = Literal["delivered", "filtered", "discarded"]


class Happened(msgspec.Struct, frozen=True):
    """What happened to one event: what it first came to, and what that became later."""

    wanted: bool
    first: Literal["delivered", "filtered", "parked", "dead", "held"]
    later: Became | None = None

    @property
    def truth(self) -> str:
        if not self.wanted:
            return "filtered"
        if self.first in ("delivered", "filtered"):
            return self.first
        return self.later or ("dead" if self.first == "dead" else "parked")


later = st.none() | st.sampled_from(["delivered", "filtered", "discarded"])
wanted = st.builds(
    Happened,
    wanted=st.just(True),
    first=st.sampled_from(["delivered", "filtered", "parked", "dead", "held"]),
    later=later,
)
ignored = st.just(Happened(False, "filtered"))


def stepless(one: Happened) -> Happened:
    """Return what happens instead where no step can filter anything."""
    first = "delivered" if one.wanted and one.first == "filtered" else one.first
    return Happened(one.wanted, first, "delivered" if one.later == "filtered" else one.later)


def unordered(one: Happened) -> Happened:
    return Happened(one.wanted, "parked" if one.first == "held" else one.first, one.later)


@given(
    st.lists(wanted | ignored, min_size=1, max_size=8),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_it_is_right_or_says_that_it_cannot_tell(
    happened: list[Happened], steps: bool, ordered: bool, counted: bool, known: bool
) -> None:
    happened = happened if steps else [stepless(one) for one in happened]
    happened = happened if ordered else [unordered(one) for one in happened]
    sure = 0
    for offset in range(len(happened)):
        found = disposition(evidence(happened, offset, (steps, ordered, counted, known)))
        truth = happened[offset].truth
        assert found.state in (truth, "delivered_or_filtered"), found
        if found.state == "delivered_or_filtered":
            assert truth in ("delivered", "filtered")
        else:
            sure += 1
    if not steps and known:
        assert sure == len(happened)


def evidence(
    happened: list[Happened], offset: int, how: tuple[bool, bool, bool, bool]
) -> EventEvidence:
    steps, ordered, counted, known = how
    one = happened[offset]
    firsts = [each.first for each in happened]
    parked = firsts.count("parked") + firsts.count("held")
    counts = Counts(
        firsts.count("delivered"), firsts.count("filtered"), parked, firsts.count("dead")
    )
    end = len(happened)
    version = VersionRecord("v1", AT, "f.py:1", "console", RULE, ("step",) if steps else ())
    tally = RangeTally(sum(each.wanted for each in happened), 0)
    return EventEvidence(
        lane=Lane("f", 0, 0, end),
        offset=offset,
        event={"id": "e", "data": {"wanted": one.wanted}},
        settled=SettledRange("f", 0, 0, end, "v1", AT, AT, counts),
        failed_event=trouble(one, offset),
        resolved=resolved(one, offset),
        version=version if known else None,
        tally=tally if counted and known else None,
        ordered=ordered,
    )


def failures(one: Happened) -> tuple[Failure, ...]:
    return () if one.first == "held" else (Failure(1, AT, "step", "KeyError", "n"),)


def trouble(one: Happened, offset: int) -> FailedEvent | None:
    if one.first in ("delivered", "filtered") or one.later is not None:
        return None
    state: Any = "dead" if one.first == "dead" else "parked"
    return FailedEvent("f", 0, offset, b"{}", "e", state, AT, 1, AT, failures=failures(one))


def resolved(one: Happened, offset: int) -> ResolvedEvent | None:
    """Return what is remembered: nothing of what only waited, unless a person ended it."""
    if one.first in ("delivered", "filtered") or one.later is None:
        return None
    who = "ada" if one.later == "discarded" else ""
    if one.first == "held" and not who:
        return None
    return ResolvedEvent("f", 0, offset, "e", one.later, AT, 1, failures(one), None, "v1", who)
