"""Many short calls around the time limit: every result stays with its event."""

from __future__ import annotations

import time
from typing import Any

import pytest

from busway import Event
from busway.step import StepFailure
from step_run import run_in_thread

LIMIT_S = 0.01


@pytest.mark.parametrize("seed", range(6))
async def test_results_stay_aligned_when_calls_take_about_as_long_as_they_may(seed: int) -> None:
    """Calls end just before, at and just after the moment at which they are given up."""

    def step(event: Event) -> dict[str, Any]:
        number = event.data
        late = 0.9 + 0.1 * ((number * 7 + seed) % 14)
        end = time.perf_counter() + LIMIT_S * (late if number % 3 == 0 else 0)
        while time.perf_counter() < end:
            pass
        return {"n": number}

    events = [Event(type="t", source="/s", id=f"e{n}", data=n) for n in range(120)]
    made = await run_in_thread(step, events, LIMIT_S)
    assert len(made) == len(events)
    for number, one in enumerate(made):
        assert isinstance(one, StepFailure) or one == [{"n": number}]
        if isinstance(one, StepFailure):
            assert one.error == "StepTimeout"
