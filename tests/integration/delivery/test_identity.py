"""An event is its source and its id: the same id from two sources is two events."""

from __future__ import annotations

from pathlib import Path

import msgspec

from busway import App, Event
from busway.sinks import bus, http
from delivery_node import event, running
from http_target import http_target


async def test_events_of_two_sources_with_one_id_are_two_on_the_bus_and_outside(
    tmp_path: Path,
) -> None:
    async with http_target() as target:
        app = App("t")

        @app.flow("derive", when={"type": ["made"]}, to=bus(type="derived"))
        def derive(event: Event) -> dict[str, str]:
            return {"of": event.source}

        app.flow("out", when={"type": ["derived"]}, to=http(target.url))
        app.flow("direct", when={"type": ["made"]}, to=http(target.url + "/direct"))
        async with running(app, tmp_path) as busway:
            await busway.post(event(1, source="/a"), event(1, source="/b"))
            await busway.until("out", delivered=2)
            await busway.until("direct", delivered=2)
        derived = [call for call in target.taken if not call.path.endswith("direct")]
        assert {msgspec.json.decode(call.body)["data"]["of"] for call in derived} == {"/a", "/b"}
        assert len({call.key for call in target.taken}) == 4
