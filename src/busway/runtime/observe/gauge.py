"""The measuring loop: gauges of what stands where, once a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from busway.clock import Clock
from busway.control.flow.status import FlowStatus
from busway.control.flow_rate import FlowRates
from busway.ports import Log
from busway.runtime.loop import Loop
from busway.runtime.observe.flow_rate import FlowRateMeter
from busway.runtime.observe.flow_sampler import FlowSampler
from busway.telemetry import Metrics

INTERVAL_S = 1.0


class Gauges:
    """Sets the gauges from log and ledger."""

    def __init__(self, log: Log, flow_sampler: FlowSampler, clock: Clock, metrics: Metrics) -> None:
        self._log = log
        self._flow_sampler = flow_sampler
        self._clock = clock
        self._metrics = metrics
        self._rate_meter = FlowRateMeter()
        self.flows: Sequence[FlowStatus] = ()
        """The status of each flow, as it was measured last."""

    @property
    def rates(self) -> Mapping[str, FlowRates]:
        """The rates of each flow over the last seconds."""
        return self._rate_meter.rates()

    async def run_once(self, loop: Loop) -> None:
        """Measure, then wait."""
        self.flows = statuses = await self._flow_sampler.flows()
        self._rate_meter.add_sample(self._clock.monotonic(), statuses)
        self._metrics.backlog_events.clear()  # drop flows that were removed or renamed
        self._metrics.failed_events.clear()
        for status in statuses:
            self._metrics.backlog_events.labels(status.name).set(status.backlog)
            self._metrics.failed_events.labels(status.name, "parked").set(status.parked)
            self._metrics.failed_events.labels(status.name, "dead").set(status.dead)
        self._metrics.log_bytes.set(await self._log.size_bytes())
        with loop.interruptible():
            await self._clock.sleep(INTERVAL_S)
