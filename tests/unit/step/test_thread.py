"""A timeout that arrives late must not shift results to other events."""

from __future__ import annotations

from busway import Event
from busway.step.step import Produced
from busway.step.thread import Run, StepTimeout

EVENTS = [Event(type="t", source="/s", id=f"e{n}", data=n) for n in range(4)]


class Interrupted(list[Produced]):
    """Results, where one timeout arrives right after the second of them was kept."""

    arrived = False

    def append(self, value: Produced, /) -> None:
        super().append(value)
        if len(self) == 2 and not self.arrived:
            self.arrived = True
            raise StepTimeout


async def test_a_timeout_meant_for_an_earlier_event_leaves_results_where_they_belong() -> None:
    run = Run(lambda event: {"n": event.data}, EVENTS)
    run.results = Interrupted()
    run.start()
    await run.done
    assert run.results == [[{"n": 0}], [{"n": 1}], [{"n": 2}], [{"n": 3}]]
