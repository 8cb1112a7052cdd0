"""The alerting loop: looks at the conditions once a second, and tells what changed on the bus."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec
import structlog

from busway.clock import Clock
from busway.control.alert.observation import Observed, Reading, observed
from busway.control.alert.record import (
    ALERT,
    AlertRecord,
    decode,
    dropped,
    encode,
    event_of,
    looked,
)
from busway.control.dead.letter import causes
from busway.control.dead.selection import Selection
from busway.control.flow.status import FlowStatus
from busway.errors import StoreError
from busway.flow import Program
from busway.flow.alert import OF_ITSELF, Alert, Kind, each, gone, stuck
from busway.lane import Change, State
from busway.ports import Ledger, Supplies
from busway.runtime.loop import Loop
from busway.runtime.observe.reading import Reader
from busway.telemetry import Metrics

EVERY_S = 1.0
VALUE_EVERY_S = 5.0
"""How often a value is kept that has changed nothing else."""

_log = structlog.get_logger("busway")


class Alerts:
    """Watches the alerts of the program that runs; what it knows is in the ledger."""

    def __init__(
        self,
        program: Callable[[], Program],
        reader: Reader,
        ledger: Ledger,
        bus: Supplies,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._program = program
        self._reader = reader
        self._ledger = ledger
        self._bus = bus
        self._clock = clock
        self._metrics = metrics
        self._kept: Mapping[str, bytes] | None = None
        self._records: Mapping[str, AlertRecord] = {}

    async def turn(self, loop: Loop) -> None:
        """Look, keep what changed, tell what is not told, then wait."""
        await self.look()
        with loop.idle():
            await self._clock.sleep(EVERY_S)

    def rest(self) -> None:
        """Tell no state of alerts while another worker looks."""
        self._metrics.alert.clear()

    async def attend(self, loop: Loop) -> None:
        """Keep only when events came of the sources that are watched, for whoever does the rest."""
        await self._reader.attend(self._program().alerts)
        with loop.idle():
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Look at every condition once."""
        if self._kept is None:
            self._kept = await self._ledger.get(ALERT)
            self._records = {one.about.name: one for one in map(decode, self._kept.values())}
        program = self._program()
        alerts = watched(program, await self._reader.flows())
        reading = await self._reader.read(alerts)
        after = self._after(alerts, reading, {one.name for one in program.alerts})
        await self._keep(after)
        for record in after:
            self._metrics.alert.labels(record.about.name).set(record.watch.raised)
        for record in list(self._records.values()):
            if not record.told:
                await self._tell(record)

    def _after(
        self, alerts: Sequence[Alert], reading: Reading, declared: Collection[str]
    ) -> Sequence[AlertRecord]:
        """Return the alerts as they are after this look."""
        now, known = self._clock.now(), self._records
        after = []
        for alert in alerts:
            before = known.get(alert.name)
            found = observed(alert, reading)
            if before is None and _needs_no_record(alert, found):
                continue
            after.append(looked(before, alert, found, now))
        names = {alert.name for alert in alerts}
        gone_now = [one for name, one in known.items() if name not in names and one.watched]
        return after + [
            dropped(one, now, _PARTED) if one.about.name in declared else dropped(one, now)
            for one in gone_now
        ]

    async def _keep(self, after: Sequence[AlertRecord]) -> None:
        """Keep what is worth it; where somebody else did so meanwhile, begin with that anew."""
        changed = [one for one in after if _worth(self._records.get(one.about.name), one)]
        values = {ALERT + one.about.name: encode(one) for one in changed}
        kept = self._kept or {}
        if not values:
            return
        if not await self._ledger.change(
            [Change(name, value, expected=kept.get(name)) for name, value in values.items()]
        ):
            self._kept, self._records = None, {}
            return
        self._kept = {**kept, **values}
        self._records = {**self._records, **{one.about.name: one for one in changed}}

    async def _tell(self, record: AlertRecord) -> None:
        """Append the event of a change; when that cannot be done now, the next look does it."""
        try:
            event = event_of(record, await self._cause(record))
            await self._bus.publish([event])
        except StoreError as error:
            _log.warning("an alert is not told yet", alert=record.about.name, error=str(error))
            return
        level = _log.warning if record.watch.raised else _log.info
        what = "alert raised" if record.watch.raised else "alert cleared"
        what += " again" if record.watch.raised and record.watch.repeats else ""
        level(what, alert=record.about.name, text=record.text)
        await self._keep([msgspec.structs.replace(record, told=True)])

    async def _cause(self, record: AlertRecord) -> str:
        """Return the root cause of most failures that a raised alert is about, if it is of some."""
        state = _FAILED.get(record.about.kind)
        if state is None or not record.watch.raised:
            return ""
        found = await causes(
            self._ledger, Selection(state=state, flow=record.about.flow), 1, both=False
        )
        return found[0].cause if found and found[0].error else ""


_FAILED: Mapping[Kind, State] = {
    "dead_letters": "dead",
    "new_dead_letters": "dead",
    "parked": "parked",
    "failing": "parked",
    "error_ratio": "parked",
}
_PARTED = "it is watched for each flow or destination now"


def watched(program: Program, statuses: Sequence[FlowStatus]) -> Sequence[Alert]:
    """Return what is watched: what is declared, of each flow or destination that it is about, and
    what each flow has by itself.

    A flow that no program has any more is watched for what it has left.
    """
    flows = dict.fromkeys([one.name for one in program.flows] + [one.name for one in statuses])
    destinations = dict.fromkeys(flow.sink.name for flow in program.flows)
    declared = [one for alert in program.alerts for one in each(alert, flows, destinations)]
    of_flows = [
        alert
        for flow in program.flows
        for alert in (gone(flow.name, flow.sink.name), stuck(flow.name))
    ]
    return [*declared, *of_flows, stuck(None)]


def _needs_no_record(alert: Alert, found: Observed) -> bool:
    return alert.kind in OF_ITSELF and not (found.value and alert.band.over(found.value))


def _worth(before: AlertRecord | None, after: AlertRecord) -> bool:
    """Say whether a record is worth keeping: at once, or only now and then for its value."""
    if before is None:
        return True
    steady = msgspec.structs.replace(after, value=before.value, detail=before.detail, at=before.at)
    moved = (before.value, before.detail) != (after.value, after.detail)
    return steady != before or (moved and (after.at - before.at).total_seconds() >= VALUE_EVERY_S)
