"""Test an alert: a message that is clearly marked, by the way of its real ones."""

from __future__ import annotations

import msgspec

from busway.audit_record import AuditRecord
from busway.clock import new_id
from busway.control.alert.message import alert_text
from busway.control.alert.record import RAISED, SOURCE, AlertRecord, alert_records
from busway.control.context import ControlContext
from busway.errors import Conflict, NotFound
from busway.event import Event
from busway.flow.alert import Alert


class AlertTest(msgspec.Struct, frozen=True):
    """The test message: ``id`` of the event that it is; its story says where it went."""

    alert: str
    id: str
    text: str


async def send_test(control: ControlContext, name: str, actor: str) -> AlertTest:
    """Put a test of an alert on the bus: the flows that take its real messages take it too.

    ``name`` is a declaration's, or that of one alert that is watched. Raises :class:`NotFound` for
    no alert, :class:`Conflict` where nothing runs that could deliver it.
    """
    program = control.program()
    if program is None or control.publish is None:
        raise Conflict("no flows run here; start the server (`busway run`) and test it there")
    records = {
        key: one for key, one in (await alert_records(control.ledger)).items() if one.is_watched
    }
    about, record = _find_alert(name, program.alerts, records)
    event = _test_event(about, record, actor)
    await control.publish([event])
    audit = AuditRecord(control.clock.now(), actor, "alert test", f"alert/{about.name}")
    await control.ledger.change_values([], [audit])
    return AlertTest(about.name, event.id, str(event.data["text"]))


def _find_alert(
    name: str, declared: tuple[Alert, ...], records: dict[str, AlertRecord]
) -> tuple[Alert, AlertRecord | None]:
    """Return the alert of a name, and how it stands, where it was looked at already."""
    known = {one.name: one for one in declared}
    if name in records:
        return records[name].alert, records[name]
    if name not in known:
        raise NotFound.named("alert", name, sorted({*known, *records}))
    own = [one for one in records.values() if one.alert.title == name]
    first = min(own, key=lambda one: (not one.watch.raised, one.alert.name), default=None)
    return (known[name], None) if first is None else (first.alert, first)


def _test_event(alert: Alert, record: AlertRecord | None, actor: str) -> Event:
    value = None if record is None else record.value
    said = alert_text(alert, value, "" if record is None else record.detail)
    data = {
        "alert": alert.title,
        "state": "raised",
        "test": True,
        "condition": alert.kind,
        "value": value,
        "unit": alert.unit,
        "threshold": alert.band.raise_at,
        "clear_threshold": alert.band.clear_at,
        "flow": alert.flow,
        "destination": alert.destination,
        "source": alert.source,
        "text": f"RAISED (TEST) {alert.title}: a test by {actor}, nothing was raised. Now: {said}",
    }
    return Event(
        id=new_id(),
        type=RAISED,
        source=SOURCE,
        subject=alert.title,
        data={key: value for key, value in data.items() if value is not None},
    )
