"""An event that ends each worker that replays it ends as a dead letter of the replay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command import DEADLINE_S, busway, select, until
from family_process import LEDGER, all_is_well, family

EVENTS = 30
POISON = 17
FLOWS = f"""
import os
from pathlib import Path
from busway import App
from busway.sinks import sqlite

app = App("shop")

@app.flow(to=sqlite("shop.db", table="orders", create=True), retry=["50ms"])
def orders(event):
    if event.data["n"] == {POISON} and Path("poisoned").exists():
        os._exit(7)
    return {{"number": event.data["n"]}}
"""


def replay(folder: Path, id: str) -> dict[str, Any]:
    found: dict[str, Any] = busway("replay", "show", id, "--json", cwd=folder).json()
    return found


def test_an_event_that_ends_each_worker_becomes_a_dead_letter_of_the_replay(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with family(tmp_path, BUSWAY_PARTITIONS="1") as found:
        found.send(0, EVENTS)

        def landed() -> list[tuple[int, int]]:
            count = "SELECT number, count(*) FROM orders GROUP BY number"
            return select(tmp_path / "shop.db", count) if (tmp_path / "shop.db").exists() else []

        until(lambda: landed() == [(n, 1) for n in range(EVENTS)], "all land")
        (tmp_path / "poisoned").touch()
        id = busway("replay", "start", "orders", "--force", "--json", cwd=tmp_path).json()["id"]

        def judged() -> bool:
            lane = f"SELECT delivered, dead FROM lane WHERE flow = 'orders@{id}'"
            return select(tmp_path / LEDGER, lane) == [(EVENTS - 1, 1)]

        until(judged, "the event is dead, all others land", 4 * DEADLINE_S)
        assert landed() == [(n, 1 if n == POISON else 2) for n in range(EVENTS)]
        until(lambda: replay(tmp_path, id)["state"] == "done", "the replay is done")
        # one over all that it had in hand, one over the event, one over its retry; and the first
        # of all where nothing was marked yet, which is so where the replay was not left by another
        deaths = "it ended with 7"
        until(lambda: found.server.log.count(deaths) >= 3, "the deaths are told")
        assert found.server.log.count(deaths) <= 6
        all_is_well(tmp_path)
