"""The list of alerts: what is clear for many flows is one row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from busway.cli.command.alert import _rows
from busway.control.alert.record import AlertStatus

AT = datetime(2030, 1, 1, tzinfo=UTC)


def status(name: str, flow: str, state: Literal["raised", "pending", "clear"]) -> AlertStatus:
    return AlertStatus(
        id=f"{name}:{flow}",
        name=name,
        state=state,
        since=None,
        pending_since=None,
        condition="parked",
        value=0.0,
        unit="events",
        threshold=0.0,
        clear_threshold=0.0,
        flow=flow,
        destination=None,
        source=None,
        text="0 parked",
        observed_at=AT,
        location="shop.py:1",
    )


def test_what_is_clear_of_many_flows_is_one_row() -> None:
    found = [
        status("a", "orders", "raised"),
        status("a", "mail", "pending"),
        *(status("a", flow, "clear") for flow in ("x", "y", "z")),
        status("b", "orders", "clear"),
    ]
    assert [row[:3] for row in _rows(found)] == [
        ("a", "orders", "raised"),
        ("a", "mail", "pending"),
        ("a", "3 flows", "clear"),
        ("b", "orders", "clear"),
    ]
