"""The flows, their destinations and how it all stands, of a node that runs."""

from __future__ import annotations

from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from api_client import api_of
from busway.event import Event
from busway.flow import App
from busway.sinks import http, jsonl
from delivery_node import event, running, until


def app(folder: Path) -> App:
    found = App("shop")

    @found.flow(when={"type": ["made"]}, to=jsonl(str(folder / "orders.jsonl")))
    def orders(event: Event) -> Any:
        return event.data if event.data["n"] % 2 else None

    found.flow("to_crm", to=http("http://127.0.0.1:9/crm"))
    return found


async def test_a_flow_is_shown_with_what_it_is_and_where_its_events_are(tmp_path: Path) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:
        await node.post(*(event(number) for number in range(10)))
        await node.until("orders", delivered=5, filtered=5)
        found = (await api.get("/flows/orders")).json()
        assert found["rule"] == {"type": ["made"]}
        assert found["steps"] == [found["steps"][0]]
        assert found["steps"][0].endswith("orders")
        assert found["location"].startswith(__file__)
        assert found["ordered"] is False
        status = found["status"]
        assert (status["accepted"], status["delivered"], status["filtered"]) == (10, 5, 5)
        assert status["waiting_since"] is None
        assert sum(lane["cursor"] - lane["start"] for lane in found["lanes"]) == 10
        assert [lane["partition"] for lane in found["lanes"]] == [0, 1]
        assert all(lane["cursor"] == lane["end"] for lane in found["lanes"])


async def test_a_backlog_says_since_when_it_waits_and_why(tmp_path: Path) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:
        await node.post(event(1))
        first = datetime.fromisoformat((await api.get("/status")).json()["at"])
        await node.post(*(event(number) for number in range(2, 30)))

        async def down() -> bool:
            found = (await api.get("/destinations")).json()["items"]
            return [one["breaker"] for one in found if "crm" in one["name"]] == ["open"]

        await until(down)
        status = (await api.get("/flows/to_crm")).json()["status"]
        assert status["backlog"] == 29
        assert datetime.fromisoformat(status["waiting_since"]) <= first
        (crm,) = [
            one
            for one in (await api.get("/destinations")).json()["items"]
            if one["flows"] == ["to_crm"]
        ]
        assert "cannot be reached" in crm["breaker_reason"]


async def test_rates_are_measured_while_it_runs(tmp_path: Path) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:

        async def rate() -> float:
            rates = (await api.get("/flows/orders")).json()["status"]["rates"]
            return 0.0 if rates is None else float(rates["incoming"])

        async def measured() -> bool:
            return (await api.get("/flows/orders")).json()["status"]["rates"] is not None

        await until(measured)
        numbers = count()

        async def risen() -> bool:
            """Have more come, as what is measured is about the last seconds only."""
            await node.post(*(event(next(numbers)) for _ in range(100)))
            return await rate() > 50

        await until(risen)


async def test_status_tells_what_runs_and_what_the_log_holds(tmp_path: Path) -> None:
    async with running(app(tmp_path), tmp_path / "data") as node, api_of(node) as api:
        await node.post(*(event(number) for number in range(10)))
        found = (await api.get("/status")).json()
        assert found["app"] == "shop"
        started_at, at = (datetime.fromisoformat(found[name]) for name in ("started_at", "at"))
        assert started_at <= at
        assert found["log"]["identity"] == node.stores.log.identity
        assert found["log"]["size_bytes"] > 0
        assert sum(one["end"] for one in found["log"]["partitions"]) == 10
        assert [one["name"] for one in found["flows"]] == ["orders", "to_crm"]
