"""``busway move``: an installation that was really run goes on elsewhere, where it was."""

from __future__ import annotations

import json
from pathlib import Path

from command import Server, busway, running, until
from installation import (
    BAD,
    LATE,
    ORDERS,
    TROUBLED,
    ask,
    make_installation,
    orders,
    replay_file,
    rows,
)
from nats_cluster import nats_cluster


def replayed(folder: Path) -> list[int]:
    """Return what was replayed so far; the last line may be under way."""
    *lines, _ = replay_file(folder).read_bytes().split(b"\n")
    return sorted(json.loads(line)["n"] for line in lines)


def goes_on(server: Server, folder: Path) -> None:
    """Show that nothing was lost in the move, and that nothing lands twice."""
    server.post(*orders(*range(200, ORDERS))).raise_for_status()  # a producer that was not sure
    server.post(*orders(*range(ORDERS, ORDERS + 50))).raise_for_status()
    everything = list(range(ORDERS + 50))
    until(lambda: len(rows(folder, "copies")) >= len(everything), "new ones land")
    until(lambda: len(replayed(folder)) >= ORDERS - 100, "the replay ends")
    assert rows(folder, "held", "held.db") == list(range(100)), "it is still paused"
    ask(server, "POST", "/flows/held/resume", {})
    until(lambda: len(rows(folder, "held", "held.db")) >= len(everything), "the backlog lands")
    (folder / "mended").touch()
    for state in ("dead", "parked"):
        ask(server, "POST", "/dead/redrive", {"selection": {"flow": "orders", "state": state}})
    until(lambda: len(rows(folder, "orders")) >= len(everything) - 1, "letters land")
    assert ask(server, "GET", "/check")["ok"]
    assert rows(folder, "orders") == everything[1:], "each once, but for the discarded one"
    assert rows(folder, "copies") == everything
    assert rows(folder, "held", "held.db") == everything
    assert replayed(folder) == list(range(100, ORDERS))


def shows_what_was(server: Server) -> None:
    """Show that what is known of the time before is there."""
    status = {one["name"]: one for one in ask(server, "GET", "/status")["flows"]}
    assert (status["orders"]["parked"], status["orders"]["dead"]) == (len(LATE), len(BAD) - 1)
    assert status["orders"]["discarded"] == 1
    assert status["orders"]["delivered"] == ORDERS - len(TROUBLED)
    assert status["held"]["state"] == "paused"
    assert "the warehouse moves" in status["held"]["state_reason"]
    audit = ask(server, "GET", "/audit")["items"]
    actions = [one["action"] for one in audit]
    assert actions == ["move", "replay begin", "dead discard", "pause"]
    assert [one["seq"] for one in audit] == [4, 3, 2, 1]
    assert "Reject: bad" in str(ask(server, "GET", "/events/o120"))
    assert "a test order" in str(ask(server, "GET", "/events/o0"))


def test_an_installation_goes_on_in_postgresql(tmp_path: Path, engine: str) -> None:
    bases = make_installation(tmp_path)
    assert all(bases), "every partition was trimmed"
    moved = busway("move", "--from", ".busway", "--to", engine, cwd=tmp_path)
    assert moved.code == 0, moved
    assert "every event is in exactly one place" in moved.out
    with running("shop.py", "--engine", engine, cwd=tmp_path) as server:
        shows_what_was(server)
        goes_on(server, tmp_path)


def test_an_installation_that_was_killed_goes_on_in_jetstream(tmp_path: Path, engine: str) -> None:
    make_installation(tmp_path, killed=True)
    with nats_cluster() as nats:
        target = ("--to", nats.address("shop"), "--ledger", engine)
        moved = busway("move", "--from", ".busway", *target, cwd=tmp_path)
        assert moved.code == 0, moved
        where = ("--engine", nats.address("shop"), "--ledger", engine)
        with running("shop.py", *where, cwd=tmp_path) as server:
            shows_what_was(server)
            goes_on(server, tmp_path)
