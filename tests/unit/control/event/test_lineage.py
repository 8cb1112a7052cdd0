"""Families of events: chains, trees, loops, and what is missing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from busway.clock import derived_id
from busway.control.event.lineage import MAX_DEPTH, MAX_RELATED, Lineage, LineageEvent
from busway.control.event.story_record import RelatedEvent
from busway.control.log.scan import Hit
from busway.control.log.search import EventHead

AT = datetime(2030, 1, 1, tzinfo=UTC)


def member(id: str, cause: str | None = None, number: int = 0) -> LineageEvent:
    seen = Hit(0, number, AT + timedelta(seconds=number), b"{}")
    return LineageEvent(EventHead(id, "/s", "made", causationid=cause), seen)


def ids(relatives: tuple[RelatedEvent, ...]) -> list[object]:
    return [[one.id, ids(one.effects)] if one.effects else one.id for one in relatives]


def test_the_chain_of_causes_goes_up_to_the_first() -> None:
    family = Lineage([member("a"), member("b", "a"), member("c", "b")], {})
    chain, missing = family.causes(member("c", "b").head)
    assert ([one.head.id for one in chain], missing) == (["b", "a"], None)


def test_a_missing_cause_is_reported() -> None:
    family = Lineage([member("b", "a"), member("c", "b")], {})
    chain, missing = family.causes(member("c", "b").head)
    assert ([one.head.id for one in chain], missing) == (["b"], "a")


def test_effects_are_a_tree_in_append_order() -> None:
    members = [member("c", "a", 3), member("b", "a", 2), member("d", "b", 4), member("x", "y", 5)]
    assert ids(Lineage(members, {}).effects(member("a").head)) == [["b", ["d"]], "c"]


def test_events_that_cause_each_other_end_somewhere() -> None:
    family = Lineage([member("a", "b", 1), member("b", "a", 2), member("a", "a", 3)], {})
    chain, missing = family.causes(member("a", "b").head)
    assert ([one.head.id for one in chain], missing) == (["b"], None)
    assert ids(family.effects(member("a", "b").head)) == ["b"]


def test_a_large_family_is_cut_short() -> None:
    wide = [member(f"c{n}", "a", n) for n in range(2 * MAX_RELATED)]
    assert len(Lineage(wide, {}).effects(member("a").head)) == MAX_RELATED
    deep = [member(f"{n}", f"{n - 1}", n) for n in range(1, 3 * MAX_DEPTH)]
    found = Lineage(deep, {}).effects(member("0").head)
    depth = 0
    while found:
        depth, found = depth + 1, found[0].effects
    assert depth == MAX_DEPTH


def test_the_flow_that_made_an_event_is_known_by_its_id() -> None:
    made = derived_id("old_name", "/s\0a", 2)
    family = Lineage([member(made, "a"), member("other", "a", 1)], {"old_name": "orders"})
    found = {one.id: one.flow for one in family.effects(member("a").head)}
    assert found == {made: "orders", "other": None}
