"""Run a flow's steps over events: what is to be loaded, and what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from busway.delivery.settle import Decided, Held, Problem
from busway.event import Event
from busway.flow import Flow
from busway.outcome import (
    HELD,
    Delivered,
    Down,
    Gone,
    Outcome,
    RateLimited,
    Rejected,
    Retry,
    Untried,
)
from busway.ports import Item
from busway.step import Failed, run_steps


async def produce(
    flow: Flow, wanted: Sequence[tuple[int, Event]], redact: Callable[[str], str]
) -> tuple[list[Item], list[Decided]]:
    """Return the items for the sink and the decided failures; what is in neither is filtered.

    What a step raised is told without secrets, as far as ``redact`` knows them.
    """
    items: list[Item] = []
    decided: list[Decided] = []
    name = flow.known_as
    made = await run_steps(flow.steps, [event for _, event in wanted])
    for (offset, event), results in zip(wanted, made, strict=True):
        if isinstance(results, Failed):
            decided.append(Decided(offset, event, _step_problem(flow, results, redact)))
        elif results:
            items.append(Item(offset, event, results, name))
    return items, decided


def _step_problem(flow: Flow, failed: Failed, redact: Callable[[str], str]) -> Problem:
    final = flow.backoff.gives_up(failed.error, failed.error in ("Reject", "EventError"))
    traceback = failed.traceback and redact(failed.traceback)
    reason = redact(failed.reason)
    return Problem("step", failed.error, reason, traceback, final, took_ms=failed.took_ms)


def fate_of(item: Item, outcome: Outcome, took_s: float | None = None) -> Decided | None:
    """Return what an outcome means for an item; ``None`` when it is to be tried again at once.

    ``took_s`` is how long the load took that it was in, in seconds.
    """
    took_ms = None if took_s is None else round(took_s * 1000, 3)
    match outcome:
        case Delivered():
            return Decided(item.offset, item.event, "delivered")
        case Retry(error=error) if error == HELD.error:
            return Decided(item.offset, item.event, Held())
        case Retry(error=error, reason=reason):
            problem = Problem(
                "sink",
                error,
                reason,
                after_s=outcome.after_s,
                took_ms=took_ms,
                counted=outcome.counted,
            )
            return Decided(item.offset, item.event, problem)
        case RateLimited(error=error, reason=reason, after_s=after_s):
            problem = Problem(
                "sink", error, reason, after_s=after_s, took_ms=took_ms, counted=False
            )
            return Decided(item.offset, item.event, problem)
        case Rejected(error=error, reason=reason):
            problem = Problem("sink", error, reason, final=True, took_ms=took_ms)
            return Decided(item.offset, item.event, problem)
        case Down() | Gone() | Untried():
            return None
