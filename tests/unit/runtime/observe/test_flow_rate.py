"""Rates from what stood where."""

from __future__ import annotations

from busway.control.flow.status import FlowStatus
from busway.control.flow_rate import FlowRates
from busway.runtime.observe.flow_rate import FlowRateMeter


def status(accepted: int, delivered: int, name: str = "orders") -> FlowStatus:
    return FlowStatus(name, accepted, delivered, 0, 0, 0, 0, accepted - delivered)


def test_a_rate_takes_two_looks() -> None:
    meter = FlowRateMeter()
    assert meter.rates() == {}
    meter.add_sample(0.0, [status(100, 0)])
    assert meter.rates() == {}
    meter.add_sample(2.0, [status(300, 50)])
    assert meter.rates() == {"orders": FlowRates(incoming=100.0, delivered=25.0)}


def test_it_is_about_the_last_ten_seconds() -> None:
    meter = FlowRateMeter()
    for second in range(60):
        meter.add_sample(float(second), [status(second * 10 if second < 40 else 400, 0)])
    assert meter.rates()["orders"].incoming == 0.0


def test_a_flow_that_is_new_or_began_anew_has_no_wrong_rate() -> None:
    meter = FlowRateMeter()
    meter.add_sample(0.0, [status(500, 500)])
    meter.add_sample(1.0, [status(10, 10), status(7, 7, "new")])
    assert meter.rates() == {"orders": FlowRates()}
