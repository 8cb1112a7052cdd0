"""``busway event``, ``busway events`` and what changes a flow's name, with a server and without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command import Server, busway, running, until

FLOWS = """
from busway import App, Backoff, Reject
from busway.sinks import bus, jsonl, sqlite

app = App("shop")
app.flow("archive", to=sqlite("shop.db", table="events", key="id", create=True))
app.flow("big", when={"data": {"id": [{"numeric": [">", 100]}]}}, to=jsonl("big.jsonl"))


@app.flow(when={"type": ["order.created"]}, to=bus(type="order.checked"))
def checked(event):
    if event.data["id"] == 3:
        raise Reject("three is wrong")
    return {"id": event.data["id"], "ok": True}
"""
OTHER = """
from busway import App
from busway.sinks import jsonl

app = App("shop")
app.flow("other", to=jsonl("other.jsonl"))
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("event")
    (folder / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=folder) as found:
        found.post(*({"id": f"o-{n}", "subject": "ada", "data": {"id": n}} for n in range(5)))
        until(lambda: settled(folder) == 5 + 4, "all is settled, and what was made of it")
        yield found


def settled(folder: Path) -> int:
    """Return how many events came, once every flow is done with all of them; else none."""
    flows = busway("status", "--json", cwd=folder).json()["flows"]
    return 0 if any(one["backlog"] for one in flows) else int(flows[0]["accepted"])


def stands(folder: Path, id: str, flow: str) -> str:
    ended = busway("event", id, "--json", cwd=folder)
    flows: list[dict[str, Any]] = ended.json()["flows"] if ended.code == 0 else []
    return next((str(one["state"]) for one in flows if one["flow"] == flow), "")


def test_a_story_for_people(server: Server) -> None:
    ended = busway("event", "o-4", cwd=server.cwd)
    assert ended.code == 0, ended.err
    assert "o-4  order.created" in ended.out
    assert "✓ archive: it was delivered" in ended.out
    assert "landed    table events of sqlite shop.db, row id = 4" in ended.out
    assert '- big: the rule did not want it: $.data.id wants [{"numeric":[">",100]}]' in ended.out
    assert "order.checked from /busway/checked" in ended.out
    assert "made by flow checked" in ended.out


def test_a_dead_letter_for_people(server: Server) -> None:
    out = busway("event", "o-3", cwd=server.cwd).out
    assert "✗ checked: it is a dead letter, after 1 attempt: Reject: three is wrong" in out
    assert "attempt 1 failed in its step: Reject: three is wrong" in out
    assert "\n      Traceback (most recent call last):\n" in out
    assert "\\n" not in out


def test_a_story_ends_with_what_to_do_now(server: Server) -> None:
    delivered = busway("event", "o-4", cwd=server.cwd).out
    assert delivered.endswith(
        "\nnow\n  nothing to do: every flow that wanted it has delivered it\n"
    )
    dead = busway("event", "o-3", cwd=server.cwd).out.splitlines()[-1]
    place = busway("dead", "list", "--json", cwd=server.cwd).json()["items"][0]["place"]
    assert dead == (
        f"  checked: it is dead: mend what failed, then `busway dead redrive {place}`;"
        f" or give it up: `busway dead discard {place} --reason …`"
    )


def test_an_event_is_found_by_what_is_in_it(server: Server) -> None:
    by_data = ("event", "--where", "type=order.created", "--since", "yesterday")
    one = busway(*by_data, "--where", "data.id=3", cwd=server.cwd)
    assert one.out.startswith("o-3  order.created\n"), one
    assert busway(*by_data, "--where", "data.id=3", "--json", cwd=server.cwd).json()["id"] == "o-3"
    several = busway(*by_data, "--key", "ada", cwd=server.cwd)
    assert "5 events fit: `busway event ID` shows the story of one" in several.out
    assert len(busway(*by_data, "--json", cwd=server.cwd).json()["items"]) == 5
    for wrong, says in (
        (("event", "--where", "data.id=99"), "no such event is in the log"),
        (("event", "o-3", "--where", "data.id=3"), "give either an id or conditions"),
        (("event",), "give an event's id, or --where"),
        (("event", "--since", "soon"), "'soon' is not a valid time"),
    ):
        ended = busway(*wrong, cwd=server.cwd)
        assert (ended.code, ended.out, says in ended.err) == (1, "", True), ended


def test_an_event_that_is_not_there(server: Server) -> None:
    ended = busway("event", "nobody", cwd=server.cwd)
    assert (ended.code, ended.out) == (1, "")
    assert "there is no event 'nobody': it never arrived, or was trimmed" in ended.err


def test_an_event_of_any_id_is_found(server: Server) -> None:
    ids = [".", "..", "a//b/", "../flows?x=1&y#z", "%2F%2e", "--json", "é\n\U0001f600", "x" * 1024]
    server.post(*({"id": id, "type": "odd", "data": {"id": 0}} for id in ids))
    until(lambda: stands(server.cwd, ids[-1], "archive") == "delivered", "the last one is there")
    for id in ids:
        found = busway("event", "--json", "--", id, cwd=server.cwd)
        assert found.code == 0, (id, found.err)
        assert found.json()["event"]["id"] == id


@pytest.mark.parametrize("name", [".", "..", "../status", "", "a/b", "?x=1", "#"])
def test_a_name_does_not_lead_to_another_path(server: Server, name: str) -> None:
    ended = busway("flows", "show", "--", name, cwd=server.cwd)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"busway: there is no flow {name!r}")


def test_events_are_found_by_key_path_and_time(server: Server) -> None:
    ended = busway(
        "events", "--where", "data.id=4", "--where", "type=order.created", cwd=server.cwd
    )
    assert "o-4" in ended.out
    assert "o-3" not in ended.out
    found = busway("events", "--key", "ada", "--since", "1h", "--json", cwd=server.cwd).json()
    types = [one["event"]["type"] for one in found["items"]]
    assert (types.count("order.created"), types.count("order.checked")) == (5, 4)
    assert len(busway("events", "--limit", "2", "--json", cwd=server.cwd).json()["items"]) == 2
    none = busway("events", "--until", "1h", cwd=server.cwd)
    assert (none.code, none.out) == (0, "No such event is in the log.\n")
    wrong = busway("events", "--where", "data[?", cwd=server.cwd)
    assert (wrong.code, "is not a valid JSON path" in wrong.err) == (1, True)


def test_a_running_flow_is_neither_renamed_nor_removed(server: Server) -> None:
    renamed = busway("flows", "rename", "big", "large", cwd=server.cwd)
    assert renamed.code == 1
    assert "flow 'big' is running; declare it as app.flow('large', renamed_from='big', …)" in (
        renamed.err
    )
    removed = busway("flows", "remove", "big", "--discard", cwd=server.cwd)
    assert (removed.code, "declared and running" in removed.err) == (1, True)


def test_flows_are_renamed_and_removed_where_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    (tmp_path / "other.py").write_text(OTHER)
    with running("shop.py", cwd=tmp_path) as first:
        first.post({"id": "o-3", "data": {"id": 3}})
        until(lambda: stands(tmp_path, "o-3", "checked") == "dead", "the dead letter")
    with running("other.py", cwd=tmp_path) as second:
        assert "a flow is not declared any more" in second.log
    assert stands(tmp_path, "o-3", "checked") == "dead"
    renamed = busway("flows", "rename", "checked", "proven", cwd=tmp_path)
    assert (renamed.code, renamed.out) == (0, "Flow checked is called proven now.\n")
    kept = busway("flows", "remove", "proven", cwd=tmp_path)
    assert (kept.code, "0 parked and 1 dead events" in kept.err) == (1, True)
    gone = busway("flows", "remove", "proven", "--discard", "--reason", "old", cwd=tmp_path)
    assert gone.code == 0, gone.err
    assert "Flow proven is removed" in gone.out
    assert stands(tmp_path, "o-3", "proven") == ""
    assert busway("check", cwd=tmp_path).code == 0
