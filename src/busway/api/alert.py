"""``/alerts``: what is watched, and what is raised."""

from __future__ import annotations

from datetime import UTC, datetime

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from busway.api.openapi import example
from busway.api.page import Cursor, Limit, Page, page_of, place_in
from busway.control.alert.record import AlertStatus, alert_status, alert_statuses
from busway.control.control import Control

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_STATUS = AlertStatus(
    name="orders fail",
    state="raised",
    since=_AT,
    pending_since=None,
    condition="dead_letters",
    value=3.0,
    unit="events",
    threshold=0.0,
    clear_threshold=0.0,
    flow="orders",
    destination=None,
    source=None,
    text="3 dead letters of flow 'orders' (raised above 0)",
    looked_at=_AT,
    place="shop.py:31",
)


@get("/", summary="List alerts", opt=example(Page([_STATUS])))
async def list_alerts(
    control: NamedDependency[Control], limit: Limit = 100, cursor: Cursor = None
) -> Page[AlertStatus]:
    """Return the alerts, raised ones first, each with what it found at its last look.

    ``text`` says it for people. An alert that every flow has by itself (its destination answered
    410) is listed while it is raised.
    """
    after = place_in(cursor, tuple[bool, str]) if cursor else None
    found = await alert_statuses(control.ledger)
    return page_of(
        [one for one in found if after is None or _place(one) > after][: limit + 1], limit, _place
    )


@get("/{name:str}", summary="Show an alert", opt=example(_STATUS))
async def show_alert(control: NamedDependency[Control], name: FromPath[str]) -> AlertStatus:
    """Return one alert."""
    return await alert_status(control.ledger, name)


def _place(status: AlertStatus) -> tuple[bool, str]:
    return (status.state != "raised", status.name)


router = Router("/alerts", route_handlers=[list_alerts, show_alert], tags=["alerts"])
