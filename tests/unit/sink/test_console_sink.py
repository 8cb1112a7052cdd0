"""The console sink: lines on standard output."""

from __future__ import annotations

import pytest

from busway.event import Event
from busway.outcome import DELIVERED, Rejected
from busway.sinks import console
from sink_load import KeptEvents, an_item, fresh


async def test_writes_a_line_for_each_result(capsys: pytest.CaptureFixture[str]) -> None:
    destination = await console().open(KeptEvents())
    event = Event(type="order.priced", source="/s", id="e\x1b[1m", data="a\nb")
    items = [an_item(0, {"id": 1}, event), an_item(1, {"id": object()}), an_item(2, {"id": 3})]
    outcomes = await destination.write(fresh(items))
    assert outcomes[::2] == [DELIVERED, DELIVERED]
    assert isinstance(outcomes[1], Rejected)
    assert capsys.readouterr().out.splitlines() == [
        'orders  order.created  {"id":1}',
        'orders  order.priced  e\\x1b[1m  "a\\nb"',
        'orders  order.created  {"id":3}',
    ]
