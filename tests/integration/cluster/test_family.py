"""``busway run --workers``: one data directory, many processes, and each event lands once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from busway.delivery.rebalance import DEAD_AFTER_S
from command import DEADLINE_S, Server, busway, running, select, until
from family_process import (
    LEDGER,
    LOG,
    Family,
    all_is_well,
    family,
    is_alive,
    stop_outside_of_transactions,
)
from http_target import http_target

FLOWS = """
from busway import App
from busway.sinks import jsonl, sqlite

app = App("shop")

@app.flow(when={"type": ["order.created"]}, to=sqlite("shop.db", table="orders", create=True))
def orders(event):
    return {"number": event.data["n"]}

app.flow("lines", when={"type": ["order.created"]}, to=jsonl("lines.jsonl"))
"""
TAKEN_AWAY = "lane lost to another worker"
TOLD_S = 30.0
"""Half of what others take to forget the beats of one that died, where nobody tells them."""
SLOW = "import time\n" + FLOWS.replace("    return", "    time.sleep(0.002)\n    return")
CHAIN = """
from busway import App
from busway.sinks import bus, sqlite

app = App("shop")

@app.flow(when={"type": ["order.created"]}, to=bus(type="order.checked"))
def check(event):
    return {"n": event.data["n"]}

@app.flow(when={"type": ["order.checked"]}, to=sqlite("shop.db", table="orders", create=True))
def orders(event):
    return {"number": event.data["n"]}
"""
POISON = """
import asyncio
import os
from busway import App
from busway.sinks import sqlite

app = App("shop")

to = sqlite("shop.db", table="orders", create=True)

@app.flow(when={"type": ["order.created"]}, to=to, retry=["50ms"])
def orders(event):
    if event.data["n"] == 3:
        os._exit(7)
    return {"number": event.data["n"]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(FLOWS)
    return tmp_path


def numbers(folder: Path) -> list[int]:
    return [n for (n,) in select(folder / "shop.db", "SELECT number FROM orders ORDER BY number")]


def lines(folder: Path) -> list[int]:
    """Return what is in the file, without a line that is being written."""
    path = folder / "lines.jsonl"
    text = path.read_bytes() if path.exists() else b""
    whole = text[: text.rfind(b"\n") + 1]
    return sorted(msgspec.json.decode(one)["data"]["n"] for one in whole.splitlines())


def rows_landed(folder: Path, count: int) -> None:
    until(lambda: len(numbers(folder)) >= count, f"{count} rows")
    assert numbers(folder) == list(range(count))


def all_landed_once(folder: Path, count: int) -> None:
    rows_landed(folder, count)
    until(lambda: len(lines(folder)) >= count, f"{count} lines")
    assert lines(folder) == list(range(count))
    all_is_well(folder)


def told(server: Server, event: str) -> list[dict[str, Any]]:
    return [one for one in server.told if one["event"] == event]


def lost_without_silence(server: Server) -> list[dict[str, Any]]:
    """Return what was taken from a worker that others must have taken for alive."""
    return [one for one in told(server, TAKEN_AWAY) if one["silent_s"] < DEAD_AFTER_S]


def end_of_the_log(folder: Path) -> int:
    """Return how many events the log has, after a look at how its batches join."""
    expected: dict[int, int] = {}
    for key, count in select(
        folder / ".busway" / "log.db", "SELECT id, count FROM batch ORDER BY id"
    ):
        partition = key >> 48
        assert key == expected.get(partition, partition << 48)
        expected[partition] = key + count
    return sum(end & ((1 << 48) - 1) for end in expected.values())


def test_workers_share_the_lanes_and_deliver_each_event_once(folder: Path) -> None:
    with family(folder) as found:
        found.spread("orders", 2)
        found.send(0, 5_000)
        all_landed_once(folder, 5_000)
        assert found.server.stop() == 0
    assert {one["flow"] for one in told(found.server, "settled")} == {"orders", "lines"}
    assert not lost_without_silence(found.server)
    assert "ended" not in found.server.log
    assert {one.name for one in (folder / ".busway").iterdir()} == {"lock", "log.db", "ledger.db"}
    assert select(folder / ".busway" / "ledger.db", "SELECT DISTINCT worker FROM lane") == [(None,)]


async def test_a_destination_over_http_gets_what_all_of_them_have(folder: Path) -> None:
    async with http_target() as target:
        flows = FLOWS.replace("jsonl, sqlite", "http, sqlite")
        flows = flows.replace('jsonl("lines.jsonl")', f'http("{target.url}")')
        (folder / "shop.py").write_text(flows)

        def sent_numbers() -> list[int]:
            return [msgspec.json.decode(call.body)["data"]["n"] for call in list(target.taken)]

        def sent() -> Server:
            with family(folder) as found:
                found.send(0, 300)
                until(lambda: len(set(sent_numbers())) == 300, "all are sent")
                assert found.server.stop() == 0
            return found.server

        server = await asyncio.to_thread(sent)
        assert not lost_without_silence(server)
        taken = Counter(sent_numbers())
        assert taken.keys() == set(range(300))
        if not told(server, TAKEN_AWAY):
            assert set(taken.values()) == {1}


def test_the_lanes_of_a_killed_worker_move_and_it_is_replaced(folder: Path) -> None:
    with family(folder) as found:
        found.spread("orders", 2)
        found.send(0, 2_000)
        killed, other = found.pids
        found.kill(killed)
        found.send(2_000, 4_000)

        def moved() -> bool:
            holders = set(found.holders("orders").values())
            return killed not in holders and None not in holders

        until(moved, "its lanes are worked")
        until(lambda: killed not in found.beating(), "it is not waited for", TOLD_S)
        found.spread("orders", 2)
        assert other in found.pids
        found.send(4_000, 5_000)
        all_landed_once(folder, 5_000)
        assert found.server.stop() == 0
    assert "killed by SIGKILL" in found.server.log


def test_workers_end_with_a_killed_parent_and_a_restart_goes_on_at_once(folder: Path) -> None:
    with family(folder) as found:
        found.spread("orders", 2)
        found.send(0, 3_000)
        pids = found.pids
        found.kill(found.server.process.pid)
        found.server.process.wait()
        with family(folder) as again:
            assert not any(map(is_alive, pids))
            assert not again.beating() & set(pids)  # nobody waits for the beats of the dead
            again.spread("orders", 2)
            again.send(3_000, 5_000)
            all_landed_once(folder, 5_000)


def test_one_that_slept_past_its_lease_settles_nothing(folder: Path) -> None:
    (folder / "shop.py").write_text(SLOW)
    with family(folder) as found:
        found.spread("orders", 2)
        found.send(0, 1_000)
        sleeper = found.pids[0]
        databases = ("shop.db", "lines.jsonl.busway", LOG, LEDGER)
        stop_outside_of_transactions(sleeper, *(folder / one for one in databases))
        found.send(1_000, 2_000)
        until(lambda: sleeper not in found.holders("orders").values(), "the others have its lanes")
        with suppress(ProcessLookupError):
            os.kill(sleeper, signal.SIGCONT)
        all_landed_once(folder, 2_000)
        found.spread("orders", 2)
        fenced = told(found.server, TAKEN_AWAY)
        assert fenced or "it said nothing for" in found.server.log  # as where all took very long
        assert not lost_without_silence(found.server)
        found.send(2_000, 3_000)
        all_landed_once(folder, 3_000)


def test_workers_and_the_intake_append_side_by_side(folder: Path) -> None:
    (folder / "shop.py").write_text(CHAIN)
    with family(folder) as found:
        found.spread("check", 2)
        for first in range(0, 4_000, 100):
            found.send(first, first + 100)
        rows_landed(folder, 4_000)
        assert end_of_the_log(folder) == 8_000
        killed = found.pids[0]
        found.send(4_000, 4_500)
        found.kill(killed)
        found.send(4_500, 6_000)
        rows_landed(folder, 6_000)
        until(lambda: end_of_the_log(folder) == 12_000, "no event was caused twice")
        all_is_well(folder)


def test_a_stranger_is_refused_and_told_the_parent(folder: Path) -> None:
    with family(folder, workers=1) as found:
        refused = busway("run", "shop.py", "--port", "0", cwd=folder)
        assert refused.code == 1
        assert f"in use by process {found.server.process.pid};" in refused.err
        found.send(0, 100)
        all_landed_once(folder, 100)
        for role in ("work", "serve"):
            assert "--workers" in busway(role, "shop.py", cwd=folder).err


def test_what_a_worker_cannot_start_with_is_said_once(folder: Path) -> None:
    (folder / "shop.py").write_text(FLOWS.replace('"shop.db"', '":memory:"'))
    ended = busway("run", "shop.py", "--port", "0", "--workers", "2", cwd=folder)
    assert ended.code == 1
    assert "ready" not in ended.out
    assert ended.err.count("give the path of a database file") == 1


def test_it_takes_up_changes_of_the_file(folder: Path) -> None:
    with family(folder, "--reload") as found:
        found.send(0, 100)
        rows_landed(folder, 100)
        (folder / "shop.py").write_text(FLOWS + "\napp.flow(3)\n")
        refused = "flows not reloaded: the flows file has mistakes"
        until(lambda: told(found.server, refused), "the refusal")
        (folder / "shop.py").write_text(FLOWS.replace('data["n"]}', 'data["n"] + 0}'))

        def who() -> set[int | None]:
            return {one.get("worker") for one in told(found.server, "flows reloaded")}

        until(lambda: who() == {None, 1, 2}, "all take it up, each says which worker it is")
        found.send(100, 200)
        all_landed_once(folder, 200)
        assert {one.get("worker") for one in told(found.server, refused)} == {None}
    versions = "SELECT DISTINCT version FROM settled_range WHERE flow = 'orders'"
    assert len(select(folder / ".busway" / "ledger.db", versions)) == 2


def test_an_event_that_ends_each_worker_becomes_a_dead_letter(folder: Path) -> None:
    (folder / "shop.py").write_text(POISON)
    with family(folder, workers=1, BUSWAY_PARTITIONS="1") as found:
        found.send(0, 10)

        def dead() -> bool:
            ledger = folder / ".busway" / "ledger.db"
            return select(ledger, "SELECT delivered, dead FROM lane") == [(9, 1)]

        until(dead, "the event is dead", 4 * DEADLINE_S)  # four starts, one after the other
        assert numbers(folder) == [n for n in range(10) if n != 3]
        assert "it ended with 7" in found.server.log
        all_is_well(folder)


def test_one_process_and_a_family_take_over_from_each_other(folder: Path) -> None:
    """Each ends by a kill; what it left is taken up with care by the other kind."""
    count = 0

    def more(found: Family) -> None:
        nonlocal count
        found.send(count, count + 500)
        found.kill(found.server.process.pid)
        found.server.process.wait()
        count += 500

    for _ in range(2):
        with family(folder) as found:
            found.spread("orders", 2)
            more(found)
        with running("shop.py", cwd=folder) as server:
            more(Family(server))
    with running("shop.py", cwd=folder) as server:
        all_landed_once(folder, count)
        assert server.stop() == 0
    assert not select(
        folder / ".busway" / "ledger.db", "SELECT 1 FROM named_value WHERE name = 'running'"
    )


def test_workers_share_a_database_as_well(folder: Path, engine: str) -> None:
    place = ("--engine", engine)
    with running("shop.py", *place, "--workers", "2", cwd=folder) as server:
        assert server.ready.endswith(", 2 workers)\n")
        Family(server).send(0, 500)
        rows_landed(folder, 500)
        until(lambda: len(lines(folder)) == 500, "all lines")
        assert server.stop() == 0
