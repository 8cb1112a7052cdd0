"""A log that has lost what flows had read: what comes then is delivered, and the loss is told."""

from __future__ import annotations

import shutil
from pathlib import Path

from command import Server, busway, get, running, select, until
from shop_flows import KEPT, kept

FLOWS = (
    KEPT
    + """
@app.flow(when={"type": ["order.created"]}, to=sqlite("held.db", "held", key="id", create=True))
def held(event):
    return {"id": event.data["id"]}
"""
)


def orders(first: int, end: int) -> list[dict[str, object]]:
    return [{"id": str(n), "data": {"id": n}} for n in range(first, end)]


def post(server: Server, first: int, end: int) -> None:
    assert server.post(*orders(first, end)).json() == {"accepted": end - first, "duplicates": 0}


def of_held(folder: Path) -> list[int]:
    return [one for (one,) in select(folder / "held.db", "SELECT id FROM held ORDER BY id")]


def keep_copy(folder: Path) -> None:
    """Keep the log of a data directory that is not in use as it is."""
    shutil.copy(folder / ".busway" / "log.db", folder / "older.db")


def restore_copy(folder: Path) -> None:
    """Put the log that was kept in place of the one that is there by now."""
    for name in ("log.db", "log.db-wal", "log.db-shm"):
        (folder / ".busway" / name).unlink(missing_ok=True)
    shutil.copy(folder / "older.db", folder / ".busway" / "log.db")


def test_an_older_copy_of_the_log_file_takes_no_new_events_for_settled(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=tmp_path, BUSWAY_PARTITIONS="1") as server:
        assert busway("pause", "held", cwd=tmp_path).code == 0
        post(server, 0, 10)
        until(lambda: kept(tmp_path) == list(range(10)), "they have a row")
        server.stop()
    keep_copy(tmp_path)
    with running("shop.py", cwd=tmp_path) as server:
        post(server, 10, 30)
        until(lambda: kept(tmp_path) == list(range(30)), "they have a row")
        server.stop()
    restore_copy(tmp_path)
    with running("shop.py", cwd=tmp_path) as server:
        assert "the log ends before the flows' cursors" in server.log
        post(server, 30, 40)
        until(lambda: kept(tmp_path) == list(range(40)), "the new ones have a row")
        assert busway("resume", "held", cwd=tmp_path).code == 0
        wanted = [*range(10), *range(30, 40)]
        until(lambda: of_held(tmp_path) == wanted, "a flow behind gets what there is")
        until(lambda: "events are missing in the log" in server.log, "and says what there is not")
        metrics = get(f"{server.url}/metrics").text
        assert 'busway_lost_events_total{flow="held"} 20.0' in metrics
        assert 'busway_lost_events_total{flow="orders"}' not in metrics
        found = busway("event", "5", cwd=tmp_path)
        assert (found.code, "delivered" in found.out) == (0, True), "found before the hole"
        assert "never arrived" in busway("event", "20", cwd=tmp_path).err
        server.stop()
    checked = busway("check", cwd=tmp_path)
    assert checked.code == 0, checked.out + checked.err


def test_a_flow_passes_a_hole_that_nothing_is_behind(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=tmp_path, BUSWAY_PARTITIONS="1") as server:
        assert busway("pause", "held", cwd=tmp_path).code == 0
        server.stop()
    keep_copy(tmp_path)
    with running("shop.py", cwd=tmp_path) as server:
        post(server, 0, 10)
        until(lambda: kept(tmp_path) == list(range(10)), "they have a row")
        server.stop()
    restore_copy(tmp_path)
    with running("shop.py", cwd=tmp_path) as server:
        assert busway("resume", "held", cwd=tmp_path).code == 0

        def backlog() -> int:
            shown = busway("flows", "--json", cwd=tmp_path).json()["items"]
            return next(int(one["backlog"]) for one in shown if one["name"] == "held")

        until(lambda: backlog() == 0, "nothing is left to wait for")
        missing = "events are missing in the log"
        until(lambda: missing in server.log, "and it says what there is not")
        # a process that starts learns nothing of what is lost, and of what is behind it all
        post(server, 0, 10)
        until(lambda: of_held(tmp_path) == list(range(10)), "new events come")
        assert server.log.count(missing) == 1
