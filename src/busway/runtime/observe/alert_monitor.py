"""The alerting loop: looks at the conditions once a second, and tells what changed on the bus."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
import structlog

from busway.clock import Clock
from busway.control.alert.condition import AlertSample, Observation, evaluate_condition
from busway.control.alert.record import (
    ALERT,
    AlertRecord,
    after_drop,
    after_observation,
    alert_event,
    decode,
    encode,
)
from busway.control.dead_letter.dead_letter import root_causes
from busway.control.dead_letter.selection import DeadLetterSelection
from busway.control.flow.status import FlowStatus
from busway.errors import StoreError
from busway.failed_event import FailedEventState
from busway.flow import CompiledApp
from busway.flow.alert import (
    BUILT_IN_KINDS,
    Alert,
    AlertKind,
    expand,
    gone_alert,
    stuck_alert,
)
from busway.named_value import ValueChange
from busway.ports import Ledger, SinkContext
from busway.runtime.loop import Loop
from busway.runtime.observe.alert_sampler import AlertSampler
from busway.telemetry import Metrics

INTERVAL_S = 1.0
VALUE_INTERVAL_S = 5.0
"""How often a value is kept that has changed nothing else."""

_log = structlog.get_logger("busway")


class AlertMonitor:
    """Watches the alerts of the program that runs; what it knows is in the ledger."""

    def __init__(
        self,
        program: Callable[[], CompiledApp],
        sampler: AlertSampler,
        ledger: Ledger,
        bus: SinkContext,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._program = program
        self._sampler = sampler
        self._ledger = ledger
        self._bus = bus
        self._clock = clock
        self._metrics = metrics
        self._saved: Mapping[str, bytes] | None = None
        self._records: Mapping[str, AlertRecord] = {}

    async def run_once(self, loop: Loop) -> None:
        """Look, keep what changed, tell what is not told, then wait."""
        await self.evaluate()
        with loop.interruptible():
            await self._clock.sleep(INTERVAL_S)

    def on_standby(self) -> None:
        """Tell no state of alerts while another worker looks."""
        self._metrics.alert_raised.clear()

    async def track_sources(self, loop: Loop) -> None:
        """Keep only when events came of the sources that are watched, for whoever does the rest."""
        await self._sampler.track_sources(self._program().alerts)
        with loop.interruptible():
            await self._clock.sleep(INTERVAL_S)

    async def evaluate(self) -> None:
        """Look at every condition once."""
        if self._saved is None:
            self._saved = await self._ledger.get_values(ALERT)
            self._records = {one.alert.name: one for one in map(decode, self._saved.values())}
        program = self._program()
        alerts = watched_alerts(program, await self._sampler.flows())
        reading = await self._sampler.sample(alerts)
        after = self._evaluated(alerts, reading, {one.name for one in program.alerts})
        await self._save(after)
        for record in after:
            self._metrics.alert_raised.labels(record.alert.name).set(record.watch.raised)
        for record in list(self._records.values()):
            if not record.is_published:
                await self._publish(record)

    def _evaluated(
        self, alerts: Sequence[Alert], sample: AlertSample, declared: Collection[str]
    ) -> Sequence[AlertRecord]:
        """Return the alerts as they are after this look."""
        now, known = self._clock.now(), self._records
        after = []
        for alert in alerts:
            before = known.get(alert.name)
            found = evaluate_condition(alert, sample)
            if before is None and _needs_no_record(alert, found):
                continue
            after.append(after_observation(before, alert, found, now))
        names = {alert.name for alert in alerts}
        gone_now = [one for name, one in known.items() if name not in names and one.is_watched]
        return after + [
            after_drop(one, now, _SPLIT_REASON)
            if one.alert.name in declared
            else after_drop(one, now)
            for one in gone_now
        ]

    async def _save(self, after: Sequence[AlertRecord]) -> None:
        """Keep what is worth it; where somebody else did so meanwhile, begin with that anew."""
        changed = [one for one in after if _is_worth_saving(self._records.get(one.alert.name), one)]
        values = {ALERT + one.alert.name: encode(one) for one in changed}
        kept = self._saved or {}
        if not values:
            return
        if not await self._ledger.change_values(
            [ValueChange(name, value, expected=kept.get(name)) for name, value in values.items()]
        ):
            self._saved, self._records = None, {}
            return
        self._saved = {**kept, **values}
        self._records = {**self._records, **{one.alert.name: one for one in changed}}

    async def _publish(self, record: AlertRecord) -> None:
        """Append the event of a change; when that cannot be done now, the next look does it."""
        try:
            event = alert_event(record, await self._root_cause(record))
            await self._bus.publish([event])
        except StoreError as error:
            _log.warning(
                "alert event not published; retrying", alert=record.alert.name, error=str(error)
            )
            return
        level = _log.warning if record.watch.raised else _log.info
        what = "alert raised" if record.watch.raised else "alert cleared"
        what += " again" if record.watch.raised and record.watch.repeats else ""
        level(what, alert=record.alert.name, text=record.text)
        await self._save([msgspec.structs.replace(record, is_published=True)])

    async def _root_cause(self, record: AlertRecord) -> str:
        """Return the root cause of most failures that a raised alert is about, if it is of some."""
        state = _FAILED_EVENT_STATES.get(record.alert.kind)
        if state is None or not record.watch.raised:
            return ""
        found = await root_causes(
            self._ledger, DeadLetterSelection(state=state, flow=record.alert.flow), 1, both=False
        )
        return found[0].cause if found and found[0].error else ""


_FAILED_EVENT_STATES: Mapping[AlertKind, FailedEventState] = {
    "dead_letters": "dead",
    "new_dead_letters": "dead",
    "parked": "parked",
    "failing": "parked",
    "error_ratio": "parked",
}
_SPLIT_REASON = "it is watched for each flow or destination now"


def watched_alerts(program: CompiledApp, statuses: Sequence[FlowStatus]) -> Sequence[Alert]:
    """Return what is watched: what is declared, of each flow or destination that it is about, and
    what each flow has by itself.

    A flow that no program has any more is watched for what it has left.
    """
    flows = dict.fromkeys([one.name for one in program.flows] + [one.name for one in statuses])
    destinations = dict.fromkeys(flow.sink.name for flow in program.flows)
    declared = [one for alert in program.alerts for one in expand(alert, flows, destinations)]
    of_flows = [
        alert
        for flow in program.flows
        for alert in (gone_alert(flow.name, flow.sink.name), stuck_alert(flow.name))
    ]
    return [*declared, *of_flows, stuck_alert(None)]


def _needs_no_record(alert: Alert, found: Observation) -> bool:
    return alert.kind in BUILT_IN_KINDS and not (
        found.value and alert.band.is_breached(found.value)
    )


def _is_worth_saving(before: AlertRecord | None, after: AlertRecord) -> bool:
    """Say whether a record is worth keeping: at once, or only now and then for its value."""
    if before is None:
        return True
    steady = msgspec.structs.replace(
        after, value=before.value, detail=before.detail, observed_at=before.observed_at
    )
    moved = (before.value, before.detail) != (after.value, after.detail)
    return steady != before or (
        moved and (after.observed_at - before.observed_at).total_seconds() >= VALUE_INTERVAL_S
    )
