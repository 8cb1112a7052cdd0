"""What a flow makes of its destination's answers where its policy says so. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from busway.delivery.backoff import Backoff
from busway.outcome import DELIVERED, HELD, Down, Gone, Outcome, RateLimited, Rejected, Retry


def treated(policy: Backoff, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """Return the outcomes as a policy wants errors treated that it names."""
    named = policy.dead or policy.retried or policy.down
    if not named or outcomes.count(DELIVERED) == len(outcomes):
        return outcomes
    return [_treated(policy, one) for one in outcomes]


def _treated(policy: Backoff, outcome: Outcome) -> Outcome:
    if not isinstance(outcome, Retry | RateLimited | Rejected | Down | Gone) or outcome is HELD:
        return outcome
    error, reason, after_s = outcome.error, outcome.reason, getattr(outcome, "after_s", None)
    treatment = policy.treatment(error) if error else None
    if treatment == "dead":
        return Rejected(error, reason)
    if treatment == "retried":
        return Retry(error, reason, after_s)
    if treatment == "down":
        if isinstance(outcome, Down):
            return msgspec.structs.replace(outcome, by_policy=True)
        return Down(f"{error}: {reason}", after_s, reachable=True, error=error, by_policy=True)
    return outcome


def failures(outcomes: Sequence[Outcome]) -> Sequence[Retry]:
    """Return the outcomes that say that an attempt failed, and may succeed later."""
    return [one for one in outcomes if isinstance(one, Retry) and one.error != HELD.error]
