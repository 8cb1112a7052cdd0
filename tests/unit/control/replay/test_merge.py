"""An event that fails again in a replay has one dead letter, whoever else changes it meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from msgspec.structs import replace

from busway.control.replay.counter import failed_again_count
from busway.control.replay.merge import merge_failed_again
from busway.failed_event import FailedEvent, FailedEventQuery, FailedEventState, Failure, Resolution
from busway.lane import Counts
from busway.ports import Ledger
from busway.settlement import Settlement
from busway.testing import memory_stores

AT = datetime(2030, 1, 1, tzinfo=UTC)
LATER = AT + timedelta(hours=1)


def failure(attempt: int, at: datetime, error: str) -> Failure:
    return Failure(attempt, at, "step", error, f"{error} at {attempt}")


def trouble(
    flow: str, offset: int, at: datetime, error: str, state: FailedEventState = "dead"
) -> FailedEvent:
    failures = (failure(1, at, error), failure(2, at, error))
    due = at if state == "parked" else None
    identity = (flow, 0, offset, b'{"id": "e"}', f"e{offset}")
    found = FailedEvent(*identity, state, at, 2, due, failures=failures, error=error)
    return replace(found, fingerprint=error)


async def settle(ledger: Ledger, flow: str, *troubles: FailedEvent) -> None:
    """Let ten events of a lane be delivered, but for these."""
    await ledger.open_lane(flow, 0, 0)
    dead = sum(one.state == "dead" for one in troubles)
    counts = Counts(delivered=10 - len(troubles), parked=len(troubles) - dead, dead=dead)
    made = Settlement(flow, 0, 0, 10, AT, "v", counts, troubles)
    assert await ledger.settle([made]) == [True]


async def letters(ledger: Ledger, state: FailedEventState = "dead") -> Sequence[FailedEvent]:
    return await ledger.failed_events(FailedEventQuery(state=state))


async def adds_up(ledger: Ledger) -> bool:
    return all(one.counts.total == one.cursor - one.start == 10 for one in await ledger.lanes())


async def test_the_first_takes_the_attempts_and_the_last_error() -> None:
    ledger = memory_stores().ledger
    await settle(ledger, "f", trouble("f", 3, AT, "KeyError"), trouble("f", 5, AT, "KeyError"))
    await settle(ledger, "f@r1", trouble("f@r1", 3, LATER, "ValueError"))
    assert await merge_failed_again(ledger, "f", ["r1"], LATER) == 1
    first, other = await letters(ledger)
    assert (first.flow, first.offset, first.attempts, first.since) == ("f", 3, 4, LATER)
    assert (first.error, first.fingerprint) == ("ValueError", "ValueError")
    assert [one.error for one in first.failures] == ["KeyError"] * 2 + ["ValueError"] * 2
    assert other == trouble("f", 5, AT, "KeyError")
    lanes = {one.flow: one.counts for one in await ledger.lanes()}
    assert (lanes["f"].dead, lanes["f@r1"].dead, lanes["f@r1"].discarded) == (2, 0, 1)
    assert await failed_again_count(ledger, "r1") == 1
    (past,) = await ledger.resolved_events("e3")
    assert (past.actor, past.reason) == (
        "busway",
        "it failed again; its attempts are added to the dead letter f/0/3",
    )
    assert await adds_up(ledger)
    assert await merge_failed_again(ledger, "f", ["r1"], LATER) == 0


async def test_without_a_first_one_it_is_a_dead_letter_of_the_replay() -> None:
    ledger = memory_stores().ledger
    await settle(ledger, "f", trouble("f", 4, AT, "E", "parked"))
    await settle(ledger, "f@r1", trouble("f@r1", 3, AT, "E"), trouble("f@r1", 4, AT, "E"))
    await settle(ledger, "other", trouble("other", 3, AT, "E"))
    assert await merge_failed_again(ledger, "f", ["r1"], LATER) == 0
    assert [(one.flow, one.offset) for one in await letters(ledger)] == [
        ("f@r1", 3),
        ("f@r1", 4),
        ("other", 3),
    ]


async def test_of_two_replays_the_older_one_keeps_it() -> None:
    ledger = memory_stores().ledger
    await settle(ledger, "f")
    for id in ("r1", "r2", "r3"):
        await settle(ledger, f"f@{id}", trouble(f"f@{id}", 3, AT, "E"))
    assert await merge_failed_again(ledger, "f", ["r2", "r1", "r3"], LATER) == 2
    (one,) = await letters(ledger)
    assert (one.flow, one.attempts) == ("f@r2", 6)
    assert await adds_up(ledger)


async def test_a_concurrently_redriven_dead_letter_is_not_merged() -> None:
    """Before each page is merged an operator redrives what was read: nothing is lost or doubled."""
    ledger = memory_stores().ledger
    await settle(ledger, "f", trouble("f", 3, AT, "E"), trouble("f", 5, AT, "E"))
    await settle(ledger, "f@r1", trouble("f@r1", 3, LATER, "E"), trouble("f@r1", 5, LATER, "E"))
    judge = ledger.resolve

    async def judged_later(
        verdicts: Sequence[Resolution], *rest: Sequence[object]
    ) -> Sequence[bool]:
        for flow, offset in (("f", 3), ("f@r1", 5)):
            was = trouble(flow, offset, LATER if "@" in flow else AT, "E")
            again = replace(was, state="parked", attempts=0, due=LATER)
            assert await judge([Resolution(flow, 0, offset, 2, "dead", again, LATER)]) == [True]
        return await judge(verdicts, *rest)  # type: ignore[arg-type]

    class Meanwhile:
        def __getattr__(self, name: str) -> object:
            return judged_later if name == "resolve" else getattr(ledger, name)

    assert await merge_failed_again(Meanwhile(), "f", ["r1"], LATER) == 1  # type: ignore[arg-type]
    assert [(one.flow, one.offset) for one in await letters(ledger)] == [("f", 5)]
    parked = [(one.flow, one.offset) for one in await letters(ledger, "parked")]
    assert parked == [("f", 3), ("f@r1", 5)]
    assert await failed_again_count(ledger, "r1") == 1
    assert await adds_up(ledger)


async def test_many_are_merged_page_by_page() -> None:
    ledger = memory_stores().ledger
    for flow in ("f", "f@r1"):
        await ledger.open_lane(flow, 0, 0)
        dead = tuple(trouble(flow, offset, AT, "E") for offset in range(1_200))
        made = Settlement(flow, 0, 0, 1_200, AT, "v", Counts(dead=1_200), dead)
        assert await ledger.settle([made]) == [True]
    assert await merge_failed_again(ledger, "f", ["r1"], LATER) == 1_200
    assert await failed_again_count(ledger, "r1") == 1_200
    lanes = {one.flow: one.counts for one in await ledger.lanes()}
    assert (lanes["f"].dead, lanes["f@r1"].discarded) == (1_200, 1_200)
