"""Classification of a destination's outcomes by the flow's retry policy. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.delivery.backoff import Backoff
from busway.outcome import (
    BLOCKED_BY_KEY,
    DELIVERED,
    Down,
    Gone,
    Outcome,
    RateLimited,
    Rejected,
    Retry,
)


def classify(policy: Backoff, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Return the outcomes, with the errors that the policy names reclassified."""
    named = policy.dead or policy.retried or policy.down
    if not named or outcomes.count(DELIVERED) == len(outcomes):
        return outcomes
    return [_classify(policy, outcome) for outcome in outcomes]


def _classify(policy: Backoff, outcome: Outcome) -> Outcome:
    if (
        not isinstance(outcome, Retry | RateLimited | Rejected | Down | Gone)
        or outcome is BLOCKED_BY_KEY
    ):
        return outcome
    error, reason, after_s = outcome.error, outcome.reason, getattr(outcome, "retry_after_s", None)
    error_class = policy.error_class(error) if error else None
    if error_class == "dead":
        return Rejected(error, reason)
    if error_class == "retried":
        return Retry(error, reason, after_s)
    if error_class == "down":
        if isinstance(outcome, Down):
            return msgspec.structs.replace(outcome, by_policy=True)
        return Down(f"{error}: {reason}", after_s, reachable=True, error=error, by_policy=True)
    return outcome


def failed_attempts(outcomes: Sequence[Outcome]) -> Sequence[Retry]:
    """Return the outcomes of failed attempts that may succeed later."""
    return [
        outcome
        for outcome in outcomes
        if isinstance(outcome, Retry) and outcome.error != BLOCKED_BY_KEY.error
    ]
