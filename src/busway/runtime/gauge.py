"""The measuring loop: gauges of what stands where, once a second."""

from __future__ import annotations

from busway.clock import Clock
from busway.ports import Log
from busway.runtime.loop import Loop
from busway.runtime.survey import Survey
from busway.telemetry import Metrics

EVERY_S = 1.0


class Gauges:
    """Sets the gauges from log and ledger."""

    def __init__(self, log: Log, survey: Survey, clock: Clock, metrics: Metrics) -> None:
        self._log = log
        self._survey = survey
        self._clock = clock
        self._metrics = metrics

    async def turn(self, loop: Loop) -> None:
        """Measure, then wait."""
        for status in await self._survey.flows():
            self._metrics.backlog.labels(status.name).set(status.backlog)
            self._metrics.standing.labels(status.name, "parked").set(status.parked)
            self._metrics.standing.labels(status.name, "dead").set(status.dead)
        self._metrics.log_bytes.set(await self._log.size_bytes())
        with loop.idle():
            await self._clock.sleep(EVERY_S)
