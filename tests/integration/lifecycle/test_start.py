"""A new flow begins where it says, and goes on where it was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from busway import App
from busway.sinks import jsonl
from delivery_node import event, running


def app_with(*flows: str, data: Path, start: object = "beginning") -> App:
    app = App("shop")
    for name in flows:
        app.flow(name, to=jsonl(str(data / f"{name}.jsonl")), start=start)
    return app


async def test_a_flow_starts_at_a_time(tmp_path: Path) -> None:
    async with running(app_with("first", data=tmp_path), tmp_path / "bus") as before:
        await before.post(*(event(n, f"k{n}") for n in range(10)))
        await before.until("first", delivered=10)
        between = datetime.now(UTC)
        await before.post(*(event(n, f"k{n}") for n in range(10, 17)))
        await before.until("first", delivered=17)
    later = app_with("first", "since", data=tmp_path, start=between.isoformat())
    async with running(later, tmp_path / "bus") as after:
        await after.until("since", delivered=7, accepted=7)
        lines = (tmp_path / "since.jsonl").read_text().splitlines()
        assert sorted(line.split('"id":"')[1].split('"')[0] for line in lines) == sorted(
            f"e{n}" for n in range(10, 17)
        )
        await after.post(event(99))
        await after.until("since", delivered=8)
        await after.until("first", delivered=18)


async def test_a_flow_that_has_run_goes_on_whatever_its_start_says(tmp_path: Path) -> None:
    async with running(app_with("first", data=tmp_path), tmp_path / "bus") as before:
        await before.post(event(1), event(2))
        await before.until("first", delivered=2)
    again = app_with("first", data=tmp_path, start="2000-01-01T00:00:00Z")
    async with running(again, tmp_path / "bus") as after:
        await after.post(event(3))
        await after.until("first", delivered=3, accepted=3)
