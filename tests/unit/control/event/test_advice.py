"""What there is to do about an event now, wherever it stands."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from busway.control.event.advice import advice
from busway.control.event.story_record import EventState, FlowStory, WhyNot

AT = datetime(2030, 1, 1, 12, tzinfo=UTC)
WHY = WhyNot("$.data.id", "[1]", (2,), "$.data.id wants [1], but the event has 2")


def told(state: EventState, id: str = "o-1", *, runs: bool = True, **more: Any) -> str:
    return advice(FlowStory(flow="orders", state=state, text="", **more), id, "0/17", runs=runs)


@pytest.mark.parametrize(
    ("state", "more", "says"),
    [
        ("dead", {}, "`busway dead redrive orders/0/17`"),
        ("dead", {}, "`busway dead discard orders/0/17 --reason …`"),
        ("dead", {"replay": "r1"}, "`busway dead redrive orders@r1/0/17`"),
        (
            "parked",
            {"due": AT},
            "it is tried again at 2030-01-01 12:00:00 UTC; at once: `busway dead",
        ),
        ("parked", {"behind": "o-0"}, "earlier event of its key: see `busway event o-0`"),
        ("waiting", {}, "nothing to do; `busway status`"),
        ("waiting", {"why_not": WHY, "held": "refused", "held_state": "down"}, "nothing to do"),
        ("waiting", {"declared": False}, "no program has flow orders now"),
        ("waiting", {"held": "paused by ann", "held_state": "paused"}, "`busway resume orders`"),
        (
            "parked",
            {"held": "destination paused by ann", "held_state": "paused"},
            "`busway resume orders --destination`",
        ),
        (
            "waiting",
            {"held": "in the window", "held_state": "window"},
            "`busway window skip orders`",
        ),
        (
            "waiting",
            {"held": "http 410", "held_state": "gone"},
            "`busway resume orders --destination`",
        ),
        (
            "parked",
            {"held": "down: refused", "held_state": "down", "destination": "http://crm"},
            "it waits for http://crm (down: refused)",
        ),
        (
            "filtered",
            {"why_not": WHY},
            f"the rule filtered it: {WHY.text}; to have it, change when=",
        ),
        ("filtered", {}, "`busway replay start orders --id o-1 --force`"),
        ("before_start", {}, "`busway replay start orders --id o-1`"),
        ("discarded", {}, "`busway replay start orders --id o-1 --force`"),
        ("delivered", {}, "nothing to do"),
        ("delivered_or_filtered", {"destination": "the lake"}, "look at the lake"),
        ("unknown", {}, "not known exactly"),
    ],
)
def test_advice_for_each_state(state: EventState, more: dict[str, Any], says: str) -> None:
    assert says in told(state, **more)


def test_where_nothing_runs_a_server_has_to_be_started() -> None:
    assert "`busway run`" in told("waiting", runs=False)


def test_what_a_shell_would_take_apart_is_quoted() -> None:
    assert "--id 'o 1; rm' --force" in told("discarded", "o 1; rm")
