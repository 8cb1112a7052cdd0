"""A settlement has each event of its range in exactly one place, whatever became of them."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from busway.conservation import check_settlement
from busway.delivery.backoff import Backoff
from busway.delivery.settlement import (
    BlockedByKey,
    DecidedEvent,
    EventOutcome,
    FailedAttempt,
    SettlementContext,
    kept_failures,
    record_failure,
    settlement,
)
from busway.event import Event
from busway.settlement import OffsetRange

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PROBLEMS = st.builds(
    FailedAttempt,
    st.sampled_from(["step", "sink"]),
    st.just("error"),
    st.just("reason"),
    final=st.booleans(),
    retry_after_s=st.none() | st.floats(0, 1e9),
)
FATES: st.SearchStrategy[EventOutcome | None] = st.one_of(
    st.none(), st.just("delivered"), st.just("filtered"), PROBLEMS
)
ROWS = st.lists(st.tuples(FATES, st.sampled_from([None, "a", "b"])), max_size=20)


def terms(*, ordered: bool, attempts: int = 3) -> SettlementContext:
    return SettlementContext("f", "v", Backoff(attempts=attempts), ordered, NOW, 0.5)


def event(offset: int, key: str | None) -> Event:
    more = {} if key is None else {"partitionkey": key}
    return Event(type="t", source="/s", id=f"e{offset}", **more)


@given(ROWS, st.booleans(), st.integers(0, 1000), st.sampled_from([{}, {"a": 1}, {"a": 2, "b": 1}]))
def test_all_is_counted_once(
    rows: list[tuple[EventOutcome | None, str | None]],
    ordered: bool,
    start: int,
    parked: dict[str, int],
) -> None:
    decided = [
        DecidedEvent(start + index, event(start + index, key), fate)
        for index, (fate, key) in enumerate(rows)
        if fate is not None
    ]
    keys = parked if ordered else {}
    found = settlement(
        terms(ordered=ordered), OffsetRange(1, start, start + len(rows)), decided, keys
    )
    check_settlement(found)
    fates = [fate for fate, _ in rows]
    assert found.counts.delivered == fates.count("delivered")
    assert found.counts.filtered == fates.count("filtered") + fates.count(None)
    assert found.counts.dead == sum(isinstance(f, FailedAttempt) and f.final for f in fates)
    heads: set[str | None] = set(keys)
    for trouble in found.failed_events:
        assert len(trouble.failures) == trouble.attempts == 1
        if trouble.state == "parked":
            waits = ordered and trouble.key in heads
            assert (trouble.due is None) == waits
            assert ordered or trouble.key is None
            if trouble.key is not None:
                heads.add(trouble.key)


def test_what_is_held_uses_no_attempt_up() -> None:
    found = settlement(
        terms(ordered=True),
        OffsetRange(0, 0, 1),
        [DecidedEvent(0, event(0, "a"), BlockedByKey())],
        {"a": 1},
    )
    (trouble,) = found.failed_events
    assert (trouble.attempts, trouble.due, trouble.failures) == (0, None, ())


@given(st.lists(PROBLEMS, min_size=1, max_size=30), st.integers(1, 25))
def test_attempts_end_in_a_dead_letter_that_keeps_the_first_and_the_last_failures(
    problems: list[FailedAttempt], attempts: int
) -> None:
    policy = terms(ordered=False, attempts=attempts)
    first = settlement(
        policy, OffsetRange(0, 0, 1), [DecidedEvent(0, event(0, None), problems[0])], {}
    )
    (trouble,) = first.failed_events
    for used, problem in enumerate(problems[1:], 2):
        if trouble.state == "dead":
            break
        trouble = record_failure(policy, trouble, problem)
        assert trouble.attempts == used
    over = trouble.attempts >= attempts or any(p.final for p in problems[: trouble.attempts])
    assert (trouble.state == "dead") == over
    assert (trouble.due is None) == over
    assert trouble.due is None or trouble.due > NOW
    assert len(trouble.failures) == min(trouble.attempts, 20)
    assert trouble.failures[0].attempt == 1
    assert trouble.failures[-1].attempt == trouble.attempts
    assert kept_failures(trouble.failures) == trouble.failures
