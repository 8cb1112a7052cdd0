"""Test an alert: send a message that is marked as a test on the way of the real messages."""

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
    """A test message: ``id`` is that of its event, whose story shows where it was delivered."""

    alert: str
    id: str
    text: str


async def send_test(control: ControlContext, name: str, actor: str) -> AlertTest:
    """Publish a test message of an alert; the flows that take its real messages take it too.

    ``name`` is the name of a declaration or the id of a watched alert. Raises :class:`NotFound`
    if there is no such alert, :class:`Conflict` if no flows run that could deliver the message.
    """
    program = control.program()
    if program is None or control.publish is None:
        raise Conflict("no flows run here; start the server (`busway run`) and test it there")
    records = {
        key: record
        for key, record in (await alert_records(control.ledger)).items()
        if record.is_watched
    }
    alert, record = _find_alert(name, program.alerts, records)
    event = _test_event(alert, record, actor)
    await control.publish([event])
    audit = AuditRecord(control.clock.now(), actor, "alert test", f"alert/{alert.name}")
    await control.ledger.change_values([], [audit])
    return AlertTest(alert.name, event.id, str(event.data["text"]))


def _find_alert(
    name: str, declared: tuple[Alert, ...], records: dict[str, AlertRecord]
) -> tuple[Alert, AlertRecord | None]:
    """Return the alert with a name, and its record if it was observed already."""
    known = {alert.name: alert for alert in declared}
    if name in records:
        return records[name].alert, records[name]
    if name not in known:
        raise NotFound.named("alert", name, sorted({*known, *records}))
    own = [record for record in records.values() if record.alert.title == name]
    first = min(own, key=lambda record: (not record.watch.raised, record.alert.name), default=None)
    return (known[name], None) if first is None else (first.alert, first)


def _test_event(alert: Alert, record: AlertRecord | None, actor: str) -> Event:
    value = None if record is None else record.value
    now = alert_text(alert, value, "" if record is None else record.detail)
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
        "text": f"RAISED (TEST) {alert.title}: a test by {actor}, nothing was raised. Now: {now}",
    }
    return Event(
        id=new_id(),
        type=RAISED,
        source=SOURCE,
        subject=alert.title,
        data={key: value for key, value in data.items() if value is not None},
    )
