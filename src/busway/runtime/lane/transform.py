"""Run a flow's steps over events: what is to be loaded, and what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from busway.delivery.settlement import BlockedByKey, DecidedEvent, FailedAttempt
from busway.event import Event
from busway.flow import Flow
from busway.outcome import (
    BLOCKED_BY_KEY,
    Delivered,
    Down,
    Gone,
    NotAttempted,
    Outcome,
    RateLimited,
    Rejected,
    Retry,
)
from busway.ports import LoadItem
from busway.step import StepFailure, StepThreads, run_steps


async def transform(
    flow: Flow,
    wanted: Sequence[tuple[int, Event]],
    redact: Callable[[str], str],
    threads: StepThreads,
) -> tuple[list[LoadItem], list[DecidedEvent]]:
    """Return the items for the sink and the decided failures; what is in neither is filtered.

    What a step raised is told without secrets, as far as ``redact`` knows them.
    """
    items: list[LoadItem] = []
    decided: list[DecidedEvent] = []
    name = flow.original_name
    made = await run_steps(flow.steps, [event for _, event in wanted], threads)
    for (offset, event), results in zip(wanted, made, strict=True):
        if isinstance(results, StepFailure):
            decided.append(DecidedEvent(offset, event, _step_problem(flow, results, redact)))
        elif results:
            items.append(LoadItem(offset, event, results, name))
    return items, decided


def _step_problem(flow: Flow, failed: StepFailure, redact: Callable[[str], str]) -> FailedAttempt:
    final = flow.backoff.is_final(failed.error, failed.error in ("Reject", "EventError"))
    traceback = failed.traceback and redact(failed.traceback)
    reason = redact(failed.reason)
    return FailedAttempt("step", failed.error, reason, traceback, final, took_ms=failed.took_ms)


def decide_outcome(
    item: LoadItem, outcome: Outcome, took_s: float | None = None
) -> DecidedEvent | None:
    """Return what an outcome means for an item; ``None`` when it is to be tried again at once.

    ``took_s`` is how long the load took that it was in, in seconds.
    """
    took_ms = None if took_s is None else round(took_s * 1000, 3)
    match outcome:
        case Delivered():
            return DecidedEvent(item.offset, item.event, "delivered")
        case Retry(error=error) if error == BLOCKED_BY_KEY.error:
            return DecidedEvent(item.offset, item.event, BlockedByKey())
        case Retry(error=error, reason=reason):
            problem = FailedAttempt(
                "sink",
                error,
                reason,
                retry_after_s=outcome.retry_after_s,
                took_ms=took_ms,
                counts_as_attempt=outcome.counts_as_attempt,
            )
            return DecidedEvent(item.offset, item.event, problem)
        case RateLimited(error=error, reason=reason, retry_after_s=after_s):
            problem = FailedAttempt(
                "sink",
                error,
                reason,
                retry_after_s=after_s,
                took_ms=took_ms,
                counts_as_attempt=False,
            )
            return DecidedEvent(item.offset, item.event, problem)
        case Rejected(error=error, reason=reason):
            problem = FailedAttempt("sink", error, reason, final=True, took_ms=took_ms)
            return DecidedEvent(item.offset, item.event, problem)
        case Down() | Gone() | NotAttempted():
            return None
