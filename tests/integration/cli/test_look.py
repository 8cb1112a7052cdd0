"""``busway status`` and ``busway check``, beside a running server and without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from command import Server, busway, copy_directory, running, until

FLOWS = """
from busway import App, Backoff
from busway.sinks import http, jsonl

app = App("shop")
once = Backoff(attempts=1)

@app.flow(when={"type": ["order.created"]}, to=jsonl("a-place-with-a-long-name.jsonl"), retry=once)
def orders(event):
    number = event.data["id"]
    if number == 3:
        raise ValueError("three is wrong")
    return {"id": number} if number != 4 else None

app.flow("to_the_crm", to=http("http://user:secret@127.0.0.1:9/crm?token=secret"))
"""
COUNTS = ("accepted", "delivered", "filtered", "parked", "dead", "discarded", "backlog")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("look")
    (folder / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=folder) as found:
        found.post(*({"id": str(n), "data": {"id": n}} for n in range(10)))
        until(lambda: flow(folder, "to_the_crm")["breaker"] == "open", "the destination is down")
        until(lambda: flow(folder, "orders")["backlog"] == 0, "orders are settled")
        yield found


def flow(folder: Path, name: str) -> dict[str, Any]:
    (found,) = (
        one for one in busway("status", "--json", cwd=folder).json()["flows"] if one["name"] == name
    )
    return dict(found)


def test_status_as_json_has_every_count_and_the_breaker(server: Server) -> None:
    orders, crm = flow(server.cwd, "orders"), flow(server.cwd, "to_the_crm")
    assert [orders[name] for name in COUNTS] == [10, 8, 1, 0, 1, 0, 0]
    assert [crm[name] for name in COUNTS] == [10, 0, 0, 0, 0, 0, 10]
    assert (orders["breaker"], orders["breaker_reason"]) == ("closed", "")
    assert crm["breaker"] in ("open", "half-open")
    assert "cannot be reached" in crm["breaker_reason"]
    assert orders["destination"] == "jsonl a-place-with-a-long-name.jsonl"
    assert crm["destination"] == "http http://127.0.0.1:9/crm"
    assert len(orders["version"]) == 12


@pytest.mark.parametrize("columns", ["80", "120"])
def test_status_as_text_has_one_line_a_flow(server: Server, columns: str) -> None:
    ended = busway("status", cwd=server.cwd, COLUMNS=columns)
    lines = [line.split() for line in ended.out.splitlines()]
    assert ended.code == 0
    assert lines[:3] == [
        ["flow", *COUNTS],
        ["orders", "10", "8", "1", "0", "1", "0", "0"],
        ["to_the_crm", "10", "0", "0", "0", "0", "0", "10"],
    ]
    assert lines[4] == ["flow", "state", "destination"]
    assert lines[5] == ["orders", "running", "jsonl", "a-place-with-a-long-name.jsonl"]
    assert lines[6][0] == "to_the_crm"
    assert max(len(line.rstrip()) for line in ended.out.splitlines()[:6]) <= 80


@pytest.mark.parametrize("command", [["status"], ["flows", "show", "orders"]])
def test_without_a_server_no_flow_is_said_to_deliver(
    server: Server, tmp_path: Path, command: list[str]
) -> None:
    copy_directory(server.cwd / ".busway", tmp_path / ".busway")
    idle = "\nNothing runs here now, so no flow delivers: the states hold from the next start on.\n"
    assert busway(*command, cwd=tmp_path).out.endswith(idle)
    assert "Nothing runs" not in busway(*command, cwd=server.cwd).out


def test_tail_without_a_server_says_why_nothing_comes(server: Server, tmp_path: Path) -> None:
    copy_directory(server.cwd / ".busway", tmp_path / ".busway")
    ended = busway("tail", cwd=tmp_path)
    assert (ended.code, ended.out) == (0, "")
    message = "no server is running here, so no events arrive; --from prints stored ones\n"
    assert ended.err == message


def test_resume_of_one_that_is_down_says_that_it_is_called_now(server: Server) -> None:
    lines = busway("resume", "to_the_crm", cwd=server.cwd).out.splitlines()
    assert lines[0].startswith("to_the_crm is down: ")
    assert lines[1:] == ["The destination is called now: `busway status` shows what it answers."]


def test_check_says_yes_with_0(server: Server) -> None:
    ended = busway("check", cwd=server.cwd)
    assert (ended.code, ended.out) == (0, "Every event is in exactly one place.\n")
    assert busway("check", "--json", cwd=server.cwd).json() == {"ok": True, "faults": []}


def test_check_says_what_is_off_with_1(server: Server, tmp_path: Path) -> None:
    """A dead letter that somebody took out by hand is missed."""
    copy_directory(server.cwd / ".busway", tmp_path / "data")
    with apsw.Connection(str(tmp_path / "data" / "ledger.db")) as database:
        database.execute("DELETE FROM failed_event")
    ended = busway("check", "--json", "--data", "data", cwd=tmp_path)
    assert ended.code == 1
    assert ended.json()["ok"] is False
    assert ended.json()["faults"][0].endswith("1 events are counted as dead, but 0 exist")


def test_check_that_cannot_look_says_so_with_2(tmp_path: Path) -> None:
    ended = busway("check", cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "busway: .busway is not a data directory; start a server with it first\n"


def test_status_without_a_data_directory_says_so(tmp_path: Path) -> None:
    ended = busway("status", cwd=tmp_path)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "busway: .busway is not a data directory; start a server with it first\n"
