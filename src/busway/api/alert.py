"""``/alerts``: what is watched, and what is raised."""

from __future__ import annotations

from datetime import UTC, datetime

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath

from busway.api.openapi import example
from busway.api.page import Cursor, Limit
from busway.control.alert.record import (
    ALERT_STATES,
    AlertStatus,
    alert_status,
    alert_statuses,
)
from busway.control.alert.trial_message import AlertTest, send_test
from busway.control.context import ControlContext
from busway.control.page import Page, page_of, place_in

_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
_STATUS = AlertStatus(
    id="dead letters:orders",
    name="dead letters",
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
    observed_at=_AT,
    location="shop.py:31",
)
_SENT = AlertTest("dead letters:orders", "01958f7e-2c00-7000-8000-000000000000", "RAISED (TEST) …")


@get("/", summary="List alerts", opt=example(Page([_STATUS])))
async def list_alerts(
    control: NamedDependency[ControlContext], limit: Limit = 100, cursor: Cursor = None
) -> Page[AlertStatus]:
    """Return the alerts, raised ones first, then pending ones, each with what it found last.

    One that is declared without a flow or destination is there for each. ``text`` says it for
    people. An alert that every flow has undeclared (its destination answered
    410) is listed while it is raised.
    """
    after = place_in(cursor, tuple[int, str]) if cursor else None
    found = await alert_statuses(control.ledger)
    return page_of(
        [one for one in found if after is None or _place(one) > after][: limit + 1], limit, _place
    )


@get("/{name:str}", summary="Show an alert", opt=example(_STATUS))
async def show_alert(control: NamedDependency[ControlContext], name: FromPath[str]) -> AlertStatus:
    """Return one alert; by the name of a declaration its first one, a raised one if any is."""
    return await alert_status(control.ledger, name)


@post("/{name:str}/test", summary="Test an alert", status_code=202, opt=example(_SENT))
async def send_alert_test(
    control: NamedDependency[ControlContext], name: FromPath[str], who: NamedDependency[str]
) -> AlertTest:
    """Send a message that is marked as a test where the alert's real ones go.

    It is an event on the bus: what became of it in the flows is in the story of its `id`.
    """
    return await send_test(control, name, who)


def _place(status: AlertStatus) -> tuple[int, str]:
    return (ALERT_STATES.index(status.state), status.id)


router = Router(
    "/alerts", route_handlers=[list_alerts, show_alert, send_alert_test], tags=["alerts"]
)
