"""``busway dead``: dead letters are listed, shown, given up, and given to their mended flow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from command import Server, busway, running, until

FLOWS = """
from busway import App, Backoff
from busway.sinks import jsonl

app = App("shop")

@app.flow(to=jsonl("orders.jsonl"), retry=Backoff(first=0.01, attempts=2))
def orders(event):
    return {"id": event.data["id"], "share": 1 / event.data["id"]}
"""
MENDED = FLOWS.replace('1 / event.data["id"]', "0")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run a server with three dead letters, to look at."""
    with with_dead_letters(tmp_path_factory.mktemp("dead")) as found:
        yield found


@contextmanager
def with_dead_letters(folder: Path) -> Iterator[Server]:
    (folder / "shop.py").write_text(FLOWS)
    with running("shop.py", "--reload", cwd=folder) as found:
        found.post({"id": "a", "data": {"id": 0}}, {"id": "b", "data": {}})
        found.post({"id": "c", "data": {"id": 0}}, {"id": "d", "data": {"id": 1}})
        until(lambda: len(dead(folder)) == 3, "three are dead")
        yield found


def dead(folder: Path) -> list[str]:
    listed = busway("dead", "list", "--json", cwd=folder).json()["dead"]
    return sorted(one["id"] for one in listed)


def test_they_are_listed_with_their_error(server: Server) -> None:
    text = busway("dead", "list", cwd=server.cwd)
    assert text.out.splitlines()[0].split() == ["place", "event", "attempts", "since", "error"]
    assert text.out.count("ZeroDivisionError: division by zero") == 2
    one = busway("dead", "list", "--json", "--limit", "1", cwd=server.cwd).json()["dead"][0]
    assert one.keys() == {
        "place",
        "flow",
        "partition",
        "offset",
        "id",
        "attempts",
        "since",
        "error",
    }
    assert one["place"] == f"orders/{one['partition']}/{one['offset']}"
    assert dead(server.cwd) == ["a", "b", "c"]
    assert busway("dead", "list", "--flow", "other", cwd=server.cwd).out == "No dead letters.\n"


def test_one_is_shown_with_payload_error_and_attempts(server: Server) -> None:
    (one,) = busway("dead", "show", "b", "--json", cwd=server.cwd).json()["dead"]
    assert one["event"]["data"] == {}
    assert [failure["attempt"] for failure in one["failures"]] == [1, 2]
    assert one["failures"][1]["error"] == "KeyError"
    assert "shop.py" in one["failures"][1]["traceback"]
    text = busway("dead", "show", one["place"], cwd=server.cwd).out
    assert '"data": {}' in text
    assert "attempt 2 at " in text
    assert text.count("Traceback") == 1


def test_one_that_is_not_there_is_told(server: Server) -> None:
    for command in ("show", "redrive", "discard"):
        ended = busway("dead", command, "zzz", cwd=server.cwd)
        assert (ended.code, ended.out) == (1, "")
        says = "busway: there is no dead letter 'zzz'; `busway dead list` shows them\n"
        assert ended.err == says


def test_which_ones_must_be_said(server: Server) -> None:
    for arguments in ((), ("a", "--all")):
        ended = busway("dead", "discard", *arguments, cwd=server.cwd)
        assert ended.code == 1
        assert "say which: event ids, or --all" in ended.err
    assert dead(server.cwd) == ["a", "b", "c"]


def test_they_are_discarded_and_redriven_to_the_mended_flow(tmp_path: Path) -> None:
    with with_dead_letters(tmp_path) as server:
        discard_and_redrive(server)


def discard_and_redrive(server: Server) -> None:
    assert busway("dead", "discard", "b", cwd=server.cwd).out == "1 discarded\n"
    assert dead(server.cwd) == ["a", "c"]
    (server.cwd / "shop.py").write_text(MENDED)
    until(lambda: "flows reloaded" in server.log, "the reload")
    redriven = busway("dead", "redrive", "--flow", "orders", "--all", "--json", cwd=server.cwd)
    assert redriven.json() == {"redriven": 2}
    file = server.cwd / "orders.jsonl"
    until(lambda: len(file.read_text().splitlines()) == 3, "the others are delivered")
    until(lambda: status(server.cwd) == (4, 3, 0, 0, 1), "all are settled")
    assert busway("check", cwd=server.cwd).code == 0


def status(folder: Path) -> tuple[int, ...]:
    (flow,) = busway("status", "--json", cwd=folder).json()["flows"]
    return tuple(flow[name] for name in ("accepted", "delivered", "parked", "dead", "discarded"))
