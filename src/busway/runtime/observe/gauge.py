"""The measuring loop: gauges of what stands where, once a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from busway.clock import Clock
from busway.control.flow.status import FlowStatus
from busway.control.rate import Rates
from busway.ports import Log
from busway.runtime.loop import Loop
from busway.runtime.observe.meter import Meter
from busway.runtime.observe.survey import Survey
from busway.telemetry import Metrics

EVERY_S = 1.0


class Gauges:
    """Sets the gauges from log and ledger."""

    def __init__(self, log: Log, survey: Survey, clock: Clock, metrics: Metrics) -> None:
        self._log = log
        self._survey = survey
        self._clock = clock
        self._metrics = metrics
        self._meter = Meter()
        self.flows: Sequence[FlowStatus] = ()
        """The status of each flow, as it was measured last."""

    @property
    def rates(self) -> Mapping[str, Rates]:
        """The rates of each flow over the last seconds."""
        return self._meter.rates()

    async def turn(self, loop: Loop) -> None:
        """Measure, then wait."""
        self.flows = statuses = await self._survey.flows()
        self._meter.note(self._clock.monotonic(), statuses)
        self._metrics.backlog.clear()  # a flow that was removed or renamed is not told any more
        self._metrics.standing.clear()
        for status in statuses:
            self._metrics.backlog.labels(status.name).set(status.backlog)
            self._metrics.standing.labels(status.name, "parked").set(status.parked)
            self._metrics.standing.labels(status.name, "dead").set(status.dead)
        self._metrics.log_bytes.set(await self._log.size_bytes())
        with loop.idle():
            await self._clock.sleep(EVERY_S)
