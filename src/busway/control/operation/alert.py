"""``busway alerts``: what is watched, and what is raised."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from busway.control.alert.record import (
    ALERT_STATES,
    AlertStatus,
    alert_status,
    alert_statuses,
)
from busway.control.alert.trial_message import AlertTest, send_test
from busway.control.field import argument
from busway.control.operation import OperationContext, http, operation
from busway.control.page import Page, PageRequest, page_after

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


class AlertName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which alert is meant."""

    name: Annotated[str, argument("The alert.")]


@operation(
    http("GET", "/alerts", tag="alerts"),
    command="alerts",
    summary="List alerts",
    result=Page([_STATUS]),
)
async def list_alerts(context: OperationContext, request: PageRequest) -> Page[AlertStatus]:
    """List the alerts with their latest values, raised ones first.

    An alert that is declared without a flow or destination is listed for each. `text` describes it
    for people. An alert that every flow has undeclared (its destination answered 410) is listed
    while it is raised.

    The exit code of the command is 0 if none is raised, 1 if one is, 2 if the list cannot be read.
    """
    found = await alert_statuses(context.control.ledger)
    return page_after(found, request, _key, tuple[int, str])


@operation(
    http("GET", "/alerts/{name}", tag="alerts"),
    summary="Show an alert",
    request=AlertName(name="dead letters"),
    result=_STATUS,
)
async def show_alert(context: OperationContext, request: AlertName) -> AlertStatus:
    """Return an alert; by the name of a declaration its first one, preferably a raised one."""
    return await alert_status(context.control.ledger, request.name)


@operation(
    http("POST", "/alerts/{name}/test", tag="alerts", status=202),
    command="alerts test",
    summary="Test an alert",
    request=AlertName(name="dead letters"),
    result=_SENT,
)
async def send_alert_test(context: OperationContext, request: AlertName) -> AlertTest:
    """Send a message that is marked as a test to where the alert's real messages go.

    It is an event on the bus: the story of its `id` tells what became of it in the flows.

    The exit code of the command is 0 if every flow that takes the alert's messages has delivered
    it, otherwise 1.
    """
    return await send_test(context.control, request.name, context.actor)


def _key(status: AlertStatus) -> tuple[int, str]:
    return (ALERT_STATES.index(status.state), status.id)
