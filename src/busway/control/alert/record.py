"""Alerts as the ledger keeps them, and the events that report their changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from busway.clock import derived_id
from busway.control.alert.condition import Observation
from busway.control.alert.message import alert_text, change_message
from busway.delivery.alert_state import AlertState
from busway.errors import NotFound
from busway.event import Event
from busway.flow.alert import BUILT_IN_KINDS, Alert
from busway.ports import Ledger

ALERT = "alert/"
RAISED = "busway.alert.raised"
CLEARED = "busway.alert.cleared"
SOURCE = "/busway/alerts"


class AlertRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An alert: its declaration, its state, and its last observation, made at ``observed_at``.

    ``is_published`` is false from a change of the state until the event that reports it is durable
    on the bus, so each change is reported exactly once even if the process ends in between.
    ``is_watched`` is false once the alert is no longer declared.
    """

    alert: Alert
    watch: AlertState = AlertState()
    value: float | None = None
    detail: str = ""
    observed_at: datetime
    is_published: bool = True
    is_watched: bool = True

    @property
    def text(self) -> str:
        """The alert as a sentence for people."""
        return alert_text(self.alert, self.value, self.detail)


class AlertStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of an alert, as it is listed.

    An alert is ``pending`` while it is about to be raised: ``pending_since`` is when its condition
    began to hold (of a raised alert: when it ceased to hold), ``pending_until`` when the state
    changes if that continues. ``name`` is the name of the declaration, which may be watched for
    each flow or destination; ``id`` is unique.
    """

    id: str
    name: str
    state: Literal["raised", "pending", "clear"]
    since: datetime | None
    pending_since: datetime | None
    pending_until: datetime | None = None
    condition: str
    value: float | None
    unit: str
    threshold: float
    clear_threshold: float
    flow: str | None
    destination: str | None
    source: str | None
    text: str
    observed_at: datetime
    location: str


def after_observation(
    before: AlertRecord | None, alert: Alert, observation: Observation, now: datetime
) -> AlertRecord:
    """Return an alert after an observation; it stays unchanged while a change is unpublished."""
    if before is not None and not before.is_published:
        return before
    watch = before.watch if before is not None else AlertState()
    after = watch.observe(alert.band, observation.value, now)
    if after.changes == watch.changes:
        after = after.repeat(alert.repeat_every_s, now)
    return AlertRecord(
        alert=alert,
        watch=after,
        value=None if observation.value is None else float(observation.value),
        detail=observation.detail,
        observed_at=now,
        is_published=(after.changes, after.repeats) == (watch.changes, watch.repeats),
    )


def after_drop(
    before: AlertRecord, now: datetime, reason: str = "the alert is no longer declared"
) -> AlertRecord:
    """Return an alert that is no longer watched: a raised alert is cleared, and reports that."""
    if not before.is_published:
        return before
    after = before.watch.retire(now)
    return msgspec.structs.replace(
        before,
        watch=after,
        detail=reason,
        observed_at=now,
        is_published=after.changes == before.watch.changes,
        is_watched=False,
    )


def alert_event(record: AlertRecord, cause: str = "") -> Event:
    """Return the event that reports the last change of an alert: the same event each time.

    ``cause`` is the root cause of most of the failures, if known.
    """
    alert, watch = record.alert, record.watch
    again = watch.repeats if watch.raised else 0
    since = watch.since if again else None
    data = {
        "alert": alert.title,
        "state": "raised" if watch.raised else "cleared",
        "again": again or None,
        "condition": alert.kind,
        "value": record.value,
        "unit": alert.unit,
        "threshold": alert.band.raise_at,
        "clear_threshold": alert.band.clear_at,
        "since": watch.breached_since,
        "flow": alert.flow,
        "destination": alert.destination,
        "source": alert.source,
        "detail": record.detail or None,
        "cause": cause or None,
        "text": change_message(alert, record.text, raised=watch.raised, since=since, cause=cause),
    }
    key = f"{alert.name}\0again {again}" if again else alert.name
    return Event(
        id=derived_id("busway.alert", key, watch.changes),
        type=RAISED if watch.raised else CLEARED,
        source=SOURCE,
        subject=alert.title,
        time=watch.repeated_at if again else watch.since,
        data={name: value for name, value in data.items() if value is not None},
    )


async def alert_records(ledger: Ledger) -> Mapping[str, AlertRecord]:
    """Return all alert records, by name."""
    values = await ledger.get_values(ALERT)
    return {name.removeprefix(ALERT): decode(value) for name, value in values.items()}


async def alert_statuses(ledger: Ledger) -> Sequence[AlertStatus]:
    """Return the declared alerts, and the built-in alerts of flows while they are raised.

    Raised alerts come first, then by name.
    """
    records = [
        record
        for record in (await alert_records(ledger)).values()
        if record.is_watched and (record.watch.raised or record.alert.kind not in BUILT_IN_KINDS)
    ]
    statuses = [_alert_status(record) for record in records]
    return sorted(statuses, key=lambda status: (ALERT_STATES.index(status.state), status.id))


async def alert_status(ledger: Ledger, name: str) -> AlertStatus:
    """Return an alert by its id, or the first alert of the declaration with this name.

    Raises :class:`NotFound` if there is none, with similar names.
    """
    statuses = await alert_statuses(ledger)
    for status in statuses:
        if name == status.id:
            return status
    for status in statuses:
        if name == status.name:
            return status
    raise NotFound.named("alert", name, sorted({status.name for status in statuses}))


ALERT_STATES = ("raised", "pending", "clear")
"""The states of an alert, in the order of a listing."""


def _alert_status(record: AlertRecord) -> AlertStatus:
    alert, watch = record.alert, record.watch
    state: Literal["raised", "pending", "clear"] = "raised" if watch.raised else "clear"
    return AlertStatus(
        id=alert.name,
        name=alert.title,
        state="pending" if state == "clear" and watch.pending_since is not None else state,
        since=watch.since,
        pending_since=watch.pending_since,
        pending_until=watch.changes_at(alert.band),
        condition=alert.kind,
        value=record.value,
        unit=alert.unit,
        threshold=alert.band.raise_at,
        clear_threshold=alert.band.clear_at,
        flow=alert.flow,
        destination=alert.destination,
        source=alert.source,
        text=record.text,
        observed_at=record.observed_at,
        location=alert.location,
    )


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(AlertRecord).decode
