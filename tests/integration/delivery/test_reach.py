"""Destinations are tried when a flow starts: "running" is not said of one that nobody reached."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from busway import App
from busway.control.destination import destination_statuses
from busway.declarable import Declarable
from busway.outcome import DELIVERED, Outcome
from busway.ports import Destination, Load, Sink, SinkContext
from busway.sinks import bus, chat, console, http, jsonl, postgres, smtp, sqlite
from delivery_node import event, running
from http_target import http_target
from service import LOOPBACK, kept_port


class Quiet(Declarable, frozen=True):
    """A sink that cannot be tried without writing to it."""

    @property
    def name(self) -> str:
        return "quiet"

    async def open(self, supplies: SinkContext) -> Destination:
        return _Quiet()


class _Quiet:
    async def write(self, load: Load) -> Sequence[Outcome]:
        return [DELIVERED] * len(load.items)

    async def close(self) -> None:
        """Nothing is open."""


def away(port: int, tmp_path: Path) -> dict[str, Sink]:
    """Return sinks whose destinations are not there."""
    return {
        "http": http(f"http://{LOOPBACK}:{port}/x"),
        "https": http(f"https://{LOOPBACK}:{port}/x"),
        "chat": chat(f"http://{LOOPBACK}:{port}/hook", "a text"),
        "postgres": postgres(f"postgresql://me@{LOOPBACK}:{port}/shop", table="t"),
        "smtp": smtp(LOOPBACK, "a@b.example", "c@d.example", port=port, tls="none"),
        "sqlite": sqlite(str(tmp_path / "no" / "such" / "shop.db"), table="t"),
    }


@pytest.mark.parametrize("kind", ["http", "https", "chat", "postgres", "smtp", "sqlite"])
async def test_one_that_is_away_is_down_without_any_event(tmp_path: Path, kind: str) -> None:
    with kept_port() as keeper:
        app = App("t")
        app.flow("f", when={"type": ["made"]}, to=away(keeper.getsockname()[1], tmp_path)[kind])
        async with running(app, tmp_path / "data") as busway:
            status = await busway.until("f", state="down")
            assert status.breaker != "closed"
            assert status.breaker_reason
            assert status.down_since is not None
            assert status.tries >= 1
            await busway.until("f", tries=2)
            (destination,) = await destination_statuses(busway.stores.ledger)
            assert destination.state == "down"
            assert destination.down_since == status.down_since


async def test_it_is_found_when_it_comes_without_any_event(tmp_path: Path) -> None:
    async with http_target() as target:
        await target.stop()
        app = App("t")
        app.flow("f", when={"type": ["made"]}, to=http(target.url))
        async with running(app, tmp_path) as busway:
            status = await busway.until("f", state="down")
            assert target.url in status.state_reason
            await target.start()
            status = await busway.until("f", state="running")
            assert (status.down_since, status.tries, status.next_probe_at) == (None, 0, None)
        assert target.calls == [], "nothing was sent"


async def test_it_is_found_when_it_answers_that_it_is_away_and_comes_later(tmp_path: Path) -> None:
    place = tmp_path / "shop.db"
    place.mkdir()
    app = App("t")
    app.flow("f", when={"type": ["made"]}, to=sqlite(str(place), table="t"))
    async with running(app, tmp_path / "data") as busway:
        status = await busway.until("f", state="down")
        assert "Is a directory" in status.state_reason
        place.rmdir()
        await busway.until("f", state="running")


@pytest.mark.parametrize("kind", ["console", "bus", "jsonl", "sqlite"])
async def test_what_is_there_runs_without_any_event(tmp_path: Path, kind: str) -> None:
    sinks: dict[str, Sink] = {
        "console": console(),
        "bus": bus(type="other"),
        "jsonl": jsonl(str(tmp_path / "new" / "out.jsonl")),
        "sqlite": sqlite(str(tmp_path / "shop.db"), table="t"),
    }
    app = App("t")
    app.flow("f", when={"type": ["made"]}, to=sinks[kind])
    async with running(app, tmp_path / "data") as busway:
        await busway.until("f", state="running")
    assert not (tmp_path / "shop.db").exists(), "nothing is made by looking"


async def test_what_cannot_be_tried_is_not_said_to_run(tmp_path: Path) -> None:
    app = App("t")
    app.flow("f", when={"type": ["made"]}, to=Quiet())
    async with running(app, tmp_path) as busway:
        status = await busway.status("f")
        assert (status.state, status.state_reason) == ("starting", "not tried yet")
        await busway.post(event(1))
        await busway.until("f", delivered=1, state="running", state_reason="")
