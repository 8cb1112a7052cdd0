"""Report to the log and the metrics what the loops do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from busway.lane import REPLAY_SEPARATOR, Counts, flow_of, is_replay_lane
from busway.runtime.context import StageTimes
from busway.runtime.observe.settlement_log import SettlementLog
from busway.settlement import OffsetRange, Settlement
from busway.telemetry import Metrics

_log = structlog.get_logger("busway")


class TelemetryObserver:
    """Observes requests, commits, settlements and retries; called once a request or batch."""

    def __init__(self, metrics: Metrics, settlement_log: SettlementLog) -> None:
        self._metrics = metrics
        self._settlement_log = settlement_log
        self._statuses = {202: metrics.requests.labels("202")}

    def request(self, status: int, events: int, size_bytes: int, seconds: float) -> None:
        """One HTTP request was answered."""
        metrics = self._metrics
        counter = self._statuses.get(status)
        if counter is None:
            counter = self._statuses[status] = metrics.requests.labels(str(status))
        counter.inc()
        metrics.request_events.inc(events)
        metrics.request_bytes.inc(size_bytes)
        metrics.request_seconds.observe(seconds)

    def read(self, source: str, accepted: int, duplicates: int) -> None:
        """Events that a reader has read are durable."""
        self._metrics.source_events.labels(source, "accepted").inc(accepted)
        self._metrics.source_events.labels(source, "duplicate").inc(duplicates)

    def refused(self, source: str, code: str, records: int) -> None:
        """Records that a reader has read are no events."""
        self._metrics.source_refused.labels(source, code).inc(records)

    def appended(self, requests: int, events: int, size_bytes: int, seconds: float) -> None:
        """One group was committed to the log."""
        self._metrics.appended_events.inc(events)
        self._metrics.append_events.observe(events)
        self._metrics.append_seconds.observe(seconds)

    def settled(self, settlement: Settlement, times: StageTimes) -> None:
        """A batch was settled."""
        metrics, label = self._metrics, _flow_label(settlement.flow)
        for outcome, count in zip(
            Counts.__struct_fields__, settlement.counts.values(), strict=True
        ):
            if count:
                metrics.event_outcomes.labels(label, outcome).inc(count)
        metrics.batch_events.labels(label).observe(settlement.end - settlement.start)
        for stage in StageTimes.__struct_fields__:
            metrics.stage_seconds.labels(label, stage).observe(getattr(times, stage))
        self._settlement_log.add(settlement, times.total)

    def events_lost(self, flow: str, offsets: OffsetRange) -> None:
        """A lane skipped offsets at which the log has no events."""
        count = offsets.end - offsets.start
        self._metrics.lost_events.labels(_flow_label(flow)).inc(count)
        _log.error(
            "events are missing in the log: the flow cannot have them, and they count as filtered",
            flow=flow,
            partition=offsets.partition,
            start=offsets.start,
            end=offsets.end,
            count=count,
        )

    def fenced(self, flow: str) -> None:
        """A load or a settlement was refused because another worker holds the lane by now."""
        self._metrics.fenced_writes.labels(_flow_label(flow)).inc()

    def moved(self, flow: str, move: str) -> None:
        """A lane was ``acquired``, ``released``, or ``lost`` to another worker."""
        self._metrics.lease_changes.labels(_flow_label(flow), move).inc()

    def lanes_held(self, lanes: Mapping[str, int]) -> None:
        """This process works this number of lanes of each flow now."""
        self._metrics.held_lanes.clear()
        for flow, count in lanes.items():
            self._metrics.held_lanes.labels(flow).set(count)

    def watch_heartbeat(self, age_s: Callable[[], float]) -> None:
        """``age_s`` returns the age of the last heartbeat."""
        self._metrics.heartbeat_age.set_function(age_s)

    def retried(self, flow: str, outcome: str, count: int = 1) -> None:
        """Parked events were tried again, with the same outcome."""
        self._metrics.retries.labels(_flow_label(flow), outcome).inc(count)


def _flow_label(flow: str) -> str:
    """Return the label of a flow in metrics; all replays of a flow share one label."""
    return f"{flow_of(flow)}{REPLAY_SEPARATOR}replay" if is_replay_lane(flow) else flow
