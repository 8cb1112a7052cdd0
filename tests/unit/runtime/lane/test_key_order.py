"""What waits behind a failed event of its key, and what does not."""

from __future__ import annotations

from busway.delivery.settlement import (
    BlockedByKey,
    DecidedEvent,
    EventOutcome,
    FailedAttempt,
)
from busway.event import Event
from busway.failed_event import FailedEvent
from busway.ports import LoadItem
from busway.runtime.lane.key_order import KeyRuns, hold_back_by_key, in_key_order
from busway.testing.ledger_sample import failed_event

AGAIN = FailedAttempt("step", "ValueError", "not yet")
NEVER = FailedAttempt("step", "Reject", "never", final=True)


def event(offset: int, key: str | None) -> Event:
    more = {} if key is None else {"partitionkey": key}
    return Event(type="t", source="/s", id=f"e{offset}", **more)


def item(offset: int, key: str | None) -> LoadItem:
    return LoadItem(offset, event(offset, key), [{}], "f")


def decided(offset: int, key: str | None, fate: EventOutcome) -> DecidedEvent:
    return DecidedEvent(offset, event(offset, key), fate)


def went(
    items: list[LoadItem], fates: list[DecidedEvent]
) -> tuple[list[int], dict[int, EventOutcome]]:
    free, known = hold_back_by_key(items, fates)
    return [one.offset for one in free], {one.offset: one.outcome for one in known}


def test_only_later_items_of_the_key_wait() -> None:
    items = [item(1, "a"), item(3, "a"), item(4, "b"), item(5, None), item(6, "a")]
    free, fates = went(items, [decided(2, "a", AGAIN)])
    assert free == [1, 4, 5]
    assert fates == {2: AGAIN, 3: BlockedByKey(), 6: BlockedByKey()}


def test_a_later_failure_of_the_key_waits_too_so_that_it_cannot_be_due_earlier() -> None:
    _, fates = went([], [decided(7, "a", AGAIN), decided(2, "a", AGAIN), decided(3, "b", AGAIN)])
    assert fates == {2: AGAIN, 7: BlockedByKey(), 3: AGAIN}


def test_what_waits_already_keeps_those_behind_it_back_though_nothing_failed() -> None:
    items = [item(1, "a"), item(3, "a"), item(4, "b"), item(5, None)]
    free, fates = went(items, [decided(2, "a", BlockedByKey()), decided(6, "a", AGAIN)])
    assert free == [1, 4, 5]
    assert fates == {2: BlockedByKey(), 3: BlockedByKey(), 6: BlockedByKey()}


def test_nobody_waits_for_what_is_given_up_filtered_or_without_a_key() -> None:
    fates = [decided(1, "a", NEVER), decided(2, "b", "filtered"), decided(3, None, AGAIN)]
    free, known = went([item(4, "a"), item(5, "b"), item(6, None)], fates)
    assert free == [4, 5, 6]
    assert [known[offset] for offset in (1, 2, 3)] == [NEVER, "filtered", AGAIN]


def test_a_failure_behind_one_that_stays_parked_is_not_settled() -> None:
    keys = {1: "a", 2: "a", 3: "b", 4: "a", 5: "b", 6: None, 7: None}
    wanted = [(offset, event(offset, key)) for offset, key in keys.items()]
    fates = [
        decided(4, "a", AGAIN),
        decided(1, "a", "delivered"),
        decided(2, "a", AGAIN),
        decided(5, "b", AGAIN),
        decided(6, None, AGAIN),
        decided(7, None, AGAIN),
    ]
    assert [one.offset for one in in_key_order(wanted, fates)] == [1, 2, 6, 7], "3 is undecided"


def test_what_is_given_up_or_filtered_makes_nobody_wait() -> None:
    wanted = [(offset, event(offset, "a")) for offset in (1, 2, 3)]
    fates = [decided(1, "a", NEVER), decided(2, "a", "filtered"), decided(3, "a", AGAIN)]
    assert [one.offset for one in in_key_order(wanted, fates)] == [1, 2, 3]


def parked(*offsets: int, key: str = "a") -> list[FailedEvent]:
    return [failed_event(offset, key=key) for offset in offsets]


def test_more_and_more_of_a_key_go_at_once_until_one_fails() -> None:
    runs, rooms = KeyRuns(100), []
    for first in (0, 1, 9, 73):
        rooms.append(runs.lengths(parked(first)).get("a", 0))
        tried = parked(*range(first, first + rooms[-1] + 1))
        runs.record(tried, {one.offset for one in tried})
    assert rooms == [0, 7, 63, 99]
    runs.record(parked(200, 201, 202), {200, 201})
    assert runs.lengths(parked(202)) == {}


def test_a_few_that_go_well_do_not_make_a_run_longer_or_shorter() -> None:
    runs = KeyRuns(100)
    runs.record(parked(0), {0})
    runs.record(parked(1, 2), {1, 2})
    assert runs.lengths([*parked(3), *parked(4, key="b"), failed_event(5)]) == {"a": 7}
