"""Test an alert: a message that is clearly marked, by the way of its real ones."""

from __future__ import annotations

import msgspec

from busway.clock import new_id
from busway.control.alert.record import RAISED, SOURCE, AlertRecord, alert_records
from busway.control.alert.sentence import sentence
from busway.control.control import Control
from busway.errors import Conflict, NotFound
from busway.event import Event
from busway.flow.alert import Alert
from busway.lane import Audit


class Sent(msgspec.Struct, frozen=True):
    """The test message: ``id`` of the event that it is; its story says where it went."""

    alert: str
    id: str
    text: str


async def send_test(control: Control, name: str, who: str) -> Sent:
    """Put a test of an alert on the bus: the flows that take its real messages take it too.

    ``name`` is a declaration's, or that of one alert that is watched. Raises :class:`NotFound` for
    no alert, :class:`Conflict` where nothing runs that could deliver it.
    """
    program = control.program()
    if program is None or control.publish is None:
        raise Conflict("no flows run here; start the server (`busway run`) and test it there")
    records = {
        key: one for key, one in (await alert_records(control.ledger)).items() if one.watched
    }
    about, record = _alert(name, program.alerts, records)
    event = _event(about, record, who)
    await control.publish([event])
    audit = Audit(control.clock.now(), who, "alert test", f"alert/{about.name}")
    await control.ledger.change([], [audit])
    return Sent(about.name, event.id, str(event.data["text"]))


def _alert(
    name: str, declared: tuple[Alert, ...], records: dict[str, AlertRecord]
) -> tuple[Alert, AlertRecord | None]:
    """Return the alert of a name, and how it stands, where it was looked at already."""
    known = {one.name: one for one in declared}
    if name in records:
        return records[name].about, records[name]
    if name not in known:
        raise NotFound.named("alert", name, sorted({*known, *records}))
    own = [one for one in records.values() if one.about.title == name]
    first = min(own, key=lambda one: (not one.watch.raised, one.about.name), default=None)
    return (known[name], None) if first is None else (first.about, first)


def _event(about: Alert, record: AlertRecord | None, who: str) -> Event:
    value = None if record is None else record.value
    said = sentence(about, value, "" if record is None else record.detail)
    data = {
        "alert": about.title,
        "state": "raised",
        "test": True,
        "condition": about.kind,
        "value": value,
        "unit": about.unit,
        "threshold": about.band.raise_at,
        "clear_threshold": about.band.clear_at,
        "flow": about.flow,
        "destination": about.destination,
        "source": about.source,
        "text": f"RAISED (TEST) {about.title}: a test by {who}, nothing was raised. Now: {said}",
    }
    return Event(
        id=new_id(),
        type=RAISED,
        source=SOURCE,
        subject=about.title,
        data={key: value for key, value in data.items() if value is not None},
    )
