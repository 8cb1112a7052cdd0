"""The alerting loop: looks at the conditions once a second, and tells what changed on the bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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
from busway.errors import StoreError
from busway.flow import Program
from busway.flow.alert import OF_ITSELF, Alert, gone, stuck
from busway.lane import Change
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
        await self._reader.attend(_watched(self._program()))
        with loop.idle():
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Look at every condition once."""
        if self._kept is None:
            self._kept = await self._ledger.get(ALERT)
            self._records = {one.about.name: one for one in map(decode, self._kept.values())}
        alerts = _watched(self._program())
        reading = await self._reader.read(alerts)
        after = self._after(alerts, reading)
        await self._keep(after)
        for record in after:
            self._metrics.alert.labels(record.about.name).set(record.watch.raised)
        for record in list(self._records.values()):
            if not record.told:
                await self._tell(record)

    def _after(self, alerts: Sequence[Alert], reading: Reading) -> Sequence[AlertRecord]:
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
        return after + [dropped(one, now) for one in gone_now]

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
        event = event_of(record)
        try:
            await self._bus.publish([event])
        except StoreError as error:
            _log.warning("an alert is not told yet", alert=record.about.name, error=str(error))
            return
        level = _log.warning if record.watch.raised else _log.info
        what = "alert raised" if record.watch.raised else "alert cleared"
        level(what, alert=record.about.name, text=record.text)
        await self._keep([msgspec.structs.replace(record, told=True)])


def _watched(program: Program) -> Sequence[Alert]:
    """Return what is declared, and what each flow has by itself."""
    of_flows = [
        alert
        for flow in program.flows
        for alert in (gone(flow.name, flow.sink.name), stuck(flow.name))
    ]
    return [*program.alerts, *of_flows, stuck(None)]


def _needs_no_record(alert: Alert, found: Observed) -> bool:
    return alert.kind in OF_ITSELF and not (found.value and alert.band.over(found.value))


def _worth(before: AlertRecord | None, after: AlertRecord) -> bool:
    """Say whether a record is worth keeping: at once, or only now and then for its value."""
    if before is None:
        return True
    steady = msgspec.structs.replace(after, value=before.value, detail=before.detail, at=before.at)
    moved = (before.value, before.detail) != (after.value, after.detail)
    return steady != before or (moved and (after.at - before.at).total_seconds() >= VALUE_EVERY_S)
