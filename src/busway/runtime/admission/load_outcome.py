"""What the outcomes of a load say of their destination."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeGuard

from msgspec.structs import replace

from busway.delivery.error_policy import failed_attempts
from busway.delivery.failure_window import LoadCounts
from busway.outcome import (
    BLOCKED_BY_KEY,
    DELIVERED,
    Delivered,
    Down,
    Gone,
    NotAttempted,
    Outcome,
    RateLimited,
    Rejected,
    Retry,
)
from busway.ports import Load
from busway.runtime.admission.suspect_event import LoadResult

_RATE_LIMIT_TOLERANCE_S = 0.1


def is_reached(outcomes: Sequence[Outcome]) -> bool:
    """Say whether the destination answered anything."""
    return any(
        outcome.reachable if isinstance(outcome, Down) else not isinstance(outcome, NotAttempted)
        for outcome in outcomes
    )


def redact_outcomes(outcomes: Sequence[Outcome], redact: Callable[[str], str]) -> Sequence[Outcome]:
    """Return what a destination answered without secrets: the one exit for its texts."""
    if outcomes.count(DELIVERED) == len(outcomes):
        return outcomes
    redacted: dict[Outcome, Outcome] = {}
    for outcome in outcomes:
        if (
            isinstance(outcome, Retry | RateLimited | Rejected | Down | Gone)
            and outcome not in redacted
        ):
            redacted[outcome] = replace(
                outcome, error=redact(outcome.error), reason=redact(outcome.reason)
            )
    return [redacted.get(outcome, outcome) for outcome in outcomes]


def count_load(load: Load, judged: LoadResult) -> LoadCounts:
    """Return what a load says of its destination."""
    outcomes = judged.outcomes
    if outcomes.count(DELIVERED) == len(outcomes):
        return LoadCounts(len(outcomes))
    delivered = sum(isinstance(outcome, Delivered | Rejected) for outcome in outcomes)
    failed = len(failed_attempts(outcomes))
    again = 0 if load.start is not None else failed + len(judged.undecided)
    return LoadCounts(delivered, failed, again, judged.undecided)


def is_certainly_down(outcome: Outcome) -> TypeGuard[Down]:
    return isinstance(outcome, Down) and not outcome.is_ambiguous


def hold_rate_limited(outcomes: Sequence[Outcome], wait_s: float) -> Sequence[Outcome]:
    """Return the outcomes; for ``wait_s`` seconds, rate-limited events stay where they are.

    Not those that the destination asked to wait longer: they are parked.
    """
    if not wait_s or not any(isinstance(outcome, RateLimited) for outcome in outcomes):
        return outcomes
    return [
        Down(outcome.reason, reachable=True, error=outcome.error)
        if isinstance(outcome, RateLimited)
        and (outcome.retry_after_s or 0.0) <= wait_s + _RATE_LIMIT_TOLERANCE_S
        else outcome
        for outcome in outcomes
    ]


def as_still_failing(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Return a probe's answer: where nothing landed, no attempt is used up by that."""
    if is_accepting(outcomes):
        return outcomes
    return [
        Down(
            f"{outcome.error}: {outcome.reason}",
            outcome.retry_after_s,
            reachable=True,
            error=outcome.error,
        )
        if isinstance(outcome, Retry) and outcome.error != BLOCKED_BY_KEY.error
        else outcome
        for outcome in outcomes
    ]


def is_accepting(outcomes: Sequence[Outcome]) -> bool:
    """Say whether any of the answers is one of a destination that does its work."""
    return any(isinstance(outcome, Delivered | Rejected) for outcome in outcomes)
