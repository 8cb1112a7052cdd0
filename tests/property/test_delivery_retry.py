"""The retry policy, whatever it is: waits, attempts, age, and what is tried again at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busway.delivery.backoff import MAX_RETRY_AFTER_S, Backoff, BackoffKind, validated
from busway.delivery.error_policy import classify
from busway.delivery.settlement import FailedAttempt, SettlementContext, record_failure
from busway.duration import parse_seconds
from busway.errors import FlowError, SettingsError
from busway.failed_event import FailedEvent
from busway.outcome import (
    BLOCKED_BY_KEY,
    DELIVERED,
    NOT_ATTEMPTED,
    Down,
    Gone,
    Outcome,
    RateLimited,
    Rejected,
    Retry,
)

NOW = datetime(2030, 1, 1, tzinfo=UTC)
DURATIONS = st.one_of(st.floats(0, 1e5), st.sampled_from(["5s", "250ms", "1m", "1h30m"]))
KINDS = st.sampled_from(get_args(BackoffKind))
NAMES = st.sampled_from(["http 4*", "http 404", "http 5*", "*", "ValueError", "http ???"])
ERRORS = st.sampled_from(["http 404", "http 409", "http 500", "http 410", "ValueError", "timeout"])
LISTS = st.lists(NAMES, max_size=3).map(tuple)
POLICIES = st.builds(
    Backoff,
    kind=KINDS,
    first=DURATIONS,
    factor=st.floats(1, 10),
    cap=DURATIONS,
    jitter=st.floats(0, 1),
    attempts=st.integers(1, 30),
    max_age=st.none() | DURATIONS,
    schedule=st.lists(DURATIONS, max_size=4).map(tuple),
    dead=LISTS,
    retried=LISTS,
    down=LISTS,
)
OUTCOMES: st.SearchStrategy[Outcome] = st.one_of(
    st.sampled_from([DELIVERED, BLOCKED_BY_KEY, NOT_ATTEMPTED, Down("refused")]),
    st.builds(Retry, ERRORS, st.just("why"), st.none() | st.floats(0, 100)),
    st.builds(RateLimited, ERRORS, st.just("why"), st.none() | st.floats(0, 100)),
    st.builds(Rejected, ERRORS, st.just("why")),
    st.builds(Gone, st.just("http 410: why"), st.just("http 410")),
)


def trouble() -> FailedEvent:
    return FailedEvent("f", 0, 0, b"{}", "e", "parked", NOW, attempts=0, due=NOW)


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        (Backoff(first="1s", factor=3, cap="20s", jitter=0), [1, 3, 9, 20, 20]),
        (Backoff(kind="linear", first="2s", cap="7s", jitter=0), [2, 4, 6, 7, 7]),
        (Backoff(kind="fixed", first="2s", jitter=0), [2, 2, 2, 2, 2]),
        (Backoff(schedule=("5s", "1m", "1h"), jitter=0), [5, 60, 3600, 3600, 3600]),
    ],
    ids=["exponential", "linear", "fixed", "schedule"],
)
def test_each_kind_waits_as_it_says(policy: Backoff, waits: list[float]) -> None:
    assert [policy.delay_s(n, 0.5) for n in range(1, 6)] == waits


def test_a_schedule_has_one_attempt_more_than_waits() -> None:
    policy = Backoff(schedule=["5s", "1m", "10m", "1h"])
    assert policy.max_attempts == 5
    assert [policy.is_exhausted(n) for n in (4, 5)] == [False, True]
    assert Backoff().max_attempts == 10


@given(POLICIES, st.integers(1, 50), st.floats(0, 1), st.none() | st.floats(0, 1e6))
def test_a_wait_is_within_what_is_said(
    policy: Backoff, failed: int, chance: float, asked: float | None
) -> None:
    wait = policy.delay_s(failed, chance, asked)
    longest = max(
        (parse_seconds(one) for one in policy.schedule), default=parse_seconds(policy.cap)
    )
    least = min(asked or 0.0, MAX_RETRY_AFTER_S)
    assert least <= wait <= max(longest * (1 + policy.jitter), least)


@given(POLICIES, st.lists(st.floats(0, 5_000), max_size=60), st.floats(0, 1))
def test_failing_again_and_again_ends_in_a_dead_letter(
    policy: Backoff, late: list[float], chance: float
) -> None:
    """Each attempt is made when it is due, or later; none is made once all are used up."""
    found, now, first = trouble(), NOW, NOW
    for number, seconds_late in enumerate([*late, *[0.0] * 60], 1):
        terms = SettlementContext("f", "v", policy, ordered=False, at=now, random_fraction=chance)
        found = record_failure(terms, found, FailedAttempt("sink", "timeout", "why"))
        assert found.attempts == number
        too_old = policy.max_age is not None and now - first >= timedelta(
            seconds=parse_seconds(policy.max_age)
        )
        over = number == policy.max_attempts or too_old
        assert (found.state == "dead") == over
        assert found.since == (now if over else NOW), "dead since it died"
        if over:
            return
        assert found.due is not None
        assert found.due >= now
        if policy.max_age is not None:
            latest = first + timedelta(seconds=parse_seconds(policy.max_age), milliseconds=1)
            assert found.due <= max(now, latest), "the last attempt is when it gets too old"
        now = found.due + timedelta(seconds=seconds_late)
    raise AssertionError("it never ended")


def test_the_age_begins_anew_with_the_attempts() -> None:
    policy = Backoff(attempts=None, max_age="1h", jitter=0)
    terms = SettlementContext("f", "v", policy, ordered=False, at=NOW, random_fraction=0.5)
    once = record_failure(terms, trouble(), FailedAttempt("sink", "timeout", "why"))
    late = SettlementContext(
        "f", "v", policy, ordered=False, at=NOW + timedelta(hours=2), random_fraction=0.5
    )
    assert record_failure(late, once, FailedAttempt("sink", "timeout", "why")).state == "dead"
    redriven = FailedEvent("f", 0, 0, b"{}", "e", "parked", NOW, 0, NOW, failures=once.failures)
    assert record_failure(late, redriven, FailedAttempt("sink", "timeout", "why")).state == "parked"


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.none() | st.floats(0, 500))
def test_an_attempt_that_is_not_counted_is_not_used_up(
    counted: list[bool], asked_s: float | None
) -> None:
    """429 any number of times leaves all attempts; the age goes on."""
    policy = Backoff(attempts=5, max_age="1h", first=1, jitter=0)
    found, now, used = trouble(), NOW, 0
    for counts in counted:
        terms = SettlementContext("f", "v", policy, ordered=False, at=now, random_fraction=0.5)
        problem = FailedAttempt(
            "sink", "http 429", "slow", retry_after_s=asked_s, counts_as_attempt=counts
        )
        found = record_failure(terms, found, problem)
        used += counts
        too_old = now - NOW >= timedelta(hours=1)
        assert (found.state == "dead") == (used == 5 or too_old)
        assert found.failures[-1].counts_as_attempt == counts
        if found.due is None:
            return
        assert found.attempts == used
        assert (found.due - now).total_seconds() >= (asked_s or 0) - 1e-3
        now = found.due


@given(POLICIES, ERRORS)
def test_the_most_exact_name_counts(policy: Backoff, error: str) -> None:
    exact = [
        kind
        for kind, names in (
            ("dead", policy.dead),
            ("down", policy.down),
            ("retried", policy.retried),
        )
        if error in names
    ]
    if exact:
        assert policy.error_class(error) == exact[0]
    elif not any("*" in name or "?" in name for name in (*policy.dead, *policy.down)):
        fits = any(name in ("*", "http 4*", "http 5*", "http ???") for name in policy.retried)
        assert fits or policy.error_class(error) is None


def test_names_and_wildcards() -> None:
    policy = Backoff(dead=["http 4*"], retried=["http 409", "http 42?"], down=["http 5*"])
    treatments = {
        error: policy.error_class(error) for error in ("http 404", "http 409", "http 423")
    }
    assert treatments == {"http 404": "dead", "http 409": "retried", "http 423": "retried"}
    assert policy.error_class("http 500") == "down"
    assert policy.error_class("ValueError") is None
    assert policy.is_final("http 404", by_default=False)
    assert not policy.is_final("http 409", by_default=True)
    assert policy.is_final("ValueError", by_default=True)


@given(POLICIES, st.lists(OUTCOMES, max_size=8))
def test_outcomes_become_what_the_policy_says(policy: Backoff, outcomes: list[Outcome]) -> None:
    found = classify(policy, outcomes)
    assert len(found) == len(outcomes)
    kinds = {"dead": Rejected, "retried": Retry, "down": Down}
    for before, after in zip(outcomes, found, strict=True):
        error = getattr(before, "error", "")
        said = None if before is BLOCKED_BY_KEY or not error else policy.error_class(error)
        assert after == before if said is None else isinstance(after, kinds[said])


@pytest.mark.parametrize(
    ("policy", "text"),
    [
        (Backoff(first="soon"), "first: invalid duration 'soon'"),
        (Backoff(schedule=("5s", "-1s")), r"schedule\[1\]: "),
        (Backoff(first="1h"), "invalid first '1h': it exceeds the cap 600.0, use a longer cap"),
        (Backoff(jitter=2), "invalid jitter 2"),
        (Backoff(factor=0.5), "invalid factor 0.5"),
        (Backoff(attempts=0), "invalid attempts 0"),
        (Backoff(attempts=None), "add max_age"),
    ],
    ids=str,
)
def test_invalid_values_are_rejected(policy: Backoff, text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        validated(policy)


def test_a_kind_that_does_not_exist_is_told_where_it_is_given() -> None:
    with pytest.raises(FlowError, match="invalid kind 'random': use 'exponential', 'linear'"):
        Backoff(kind="random")  # type: ignore[arg-type]
    with pytest.raises(FlowError, match=r"invalid dead 'http 4\*': use a list"):
        Backoff(dead="http 4*")
