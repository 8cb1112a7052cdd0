"""Alerts as the ledger keeps them, and the events that tell of them."""

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
    """One alert: what it is about, how it stands, and what was found at its last look,
    ``observed_at``.

    ``is_published`` is false from a change of the state until the event of it is durable on the
    bus: so a change is told once, whenever the process ends. ``is_watched`` is false for one that
    is not declared any more.
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
        """What it says to people."""
        return alert_text(self.alert, self.value, self.detail)


class AlertStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An alert for whoever looks.

    It is ``pending`` while it is about to be raised: ``pending_since`` is since when its condition
    holds (of a raised one: since when it is calm), ``pending_until`` when it changes if that stays
    so. ``name`` is that of its declaration, which may be watched for each flow or destination;
    ``id`` is its own.
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
    """Return an alert after a look; while a change is not told yet it stays as it is."""
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
    before: AlertRecord, now: datetime, reason: str = "it is not declared any more"
) -> AlertRecord:
    """Return an alert that nobody watches any more: a raised one is cleared, and tells so."""
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
    """Return the event that tells of the last change of an alert: the same one each time.

    ``cause`` is what most of the failures have in common, where that is known.
    """
    about, watch = record.alert, record.watch
    again = watch.repeats if watch.raised else 0
    since = watch.since if again else None
    data = {
        "alert": about.title,
        "state": "raised" if watch.raised else "cleared",
        "again": again or None,
        "condition": about.kind,
        "value": record.value,
        "unit": about.unit,
        "threshold": about.band.raise_at,
        "clear_threshold": about.band.clear_at,
        "since": watch.breached_since,
        "flow": about.flow,
        "destination": about.destination,
        "source": about.source,
        "detail": record.detail or None,
        "cause": cause or None,
        "text": change_message(about, record.text, raised=watch.raised, since=since, cause=cause),
    }
    which = f"{about.name}\0again {again}" if again else about.name
    return Event(
        id=derived_id("busway.alert", which, watch.changes),
        type=RAISED if watch.raised else CLEARED,
        source=SOURCE,
        subject=about.title,
        time=watch.repeated_at if again else watch.since,
        data={name: value for name, value in data.items() if value is not None},
    )


async def alert_records(ledger: Ledger) -> Mapping[str, AlertRecord]:
    """Return every alert that is kept, by name."""
    found = await ledger.get_values(ALERT)
    return {name.removeprefix(ALERT): decode(value) for name, value in found.items()}


async def alert_statuses(ledger: Ledger) -> Sequence[AlertStatus]:
    """Return the alerts that are declared, and those that every flow has by itself while they are
    raised; raised ones first, then by name."""
    records = [
        one
        for one in (await alert_records(ledger)).values()
        if one.is_watched and (one.watch.raised or one.alert.kind not in BUILT_IN_KINDS)
    ]
    found = [_alert_status(one) for one in records]
    return sorted(found, key=lambda one: (ALERT_STATES.index(one.state), one.id))


async def alert_status(ledger: Ledger, name: str) -> AlertStatus:
    """Return an alert by its id, or the first one of a declaration that has several.

    Raises :class:`NotFound` when there is none, with what may have been meant.
    """
    known = await alert_statuses(ledger)
    for one in known:
        if name == one.id:
            return one
    for one in known:
        if name == one.name:
            return one
    raise NotFound.named("alert", name, sorted({one.name for one in known}))


ALERT_STATES = ("raised", "pending", "clear")
"""How an alert can stand, as they are listed."""


def _alert_status(record: AlertRecord) -> AlertStatus:
    about, watch = record.alert, record.watch
    state: Literal["raised", "pending", "clear"] = "raised" if watch.raised else "clear"
    return AlertStatus(
        id=about.name,
        name=about.title,
        state="pending" if state == "clear" and watch.pending_since is not None else state,
        since=watch.since,
        pending_since=watch.pending_since,
        pending_until=watch.changes_at(about.band),
        condition=about.kind,
        value=record.value,
        unit=about.unit,
        threshold=about.band.raise_at,
        clear_threshold=about.band.clear_at,
        flow=about.flow,
        destination=about.destination,
        source=about.source,
        text=record.text,
        observed_at=record.observed_at,
        location=about.location,
    )


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(AlertRecord).decode
