"""``busway dead``: dead letters are listed, shown, given up, and given to their mended flow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from command import Server, busway, in_a_terminal, running, until

FLOWS = """
from busway import App, Backoff
from busway.sinks import jsonl

app = App("shop")

@app.flow(to=jsonl("orders.jsonl"), retry=Backoff(first=0.01, attempts=2))
def orders(event):
    return {"id": event.data["id"], "share": 1 / event.data["id"]}
"""
MEND = """def patch(event):
    if event.data["id"] == 0:
        return event.data | {"id": 7}
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
        found.post({"id": "c", "subject": "k", "data": {"id": 0}}, {"id": "d", "data": {"id": 1}})
        until(lambda: len(dead(folder)) == 3, "three are dead")
        yield found


def dead(folder: Path, *filter: str) -> list[str]:
    listed = busway("dead", "list", "--json", *filter, cwd=folder).json()["items"]
    return sorted(one["id"] for one in listed)


def test_they_are_listed_with_their_error(server: Server) -> None:
    text = busway("dead", "list", cwd=server.cwd)
    head = ["place", "event", "attempts", "since", "fingerprint", "error"]
    assert text.out.splitlines()[0].split() == head
    assert text.out.count("ZeroDivisionError: division by zero") == 2
    one = busway("dead", "list", "--json", "--limit", "1", cwd=server.cwd).json()["items"][0]
    assert one["place"] == f"orders/{one['partition']}/{one['offset']}"
    assert one["state"] == "dead"
    assert dead(server.cwd) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        (("--flow", "orders"), ["a", "b", "c"]),
        (("--flow", "other"), []),
        (("--error", "KeyError"), ["b"]),
        (("--key", "k"), ["c"]),
        (("--id", "a"), ["a"]),
        (("--since", "1h"), ["a", "b", "c"]),
        (("--until", "1h"), []),
        (("--where", "data.id=0"), ["a", "c"]),
        (("--where", "data.id=0", "--key", "k"), ["c"]),
        (("--where", "$.data[?@ > 0]"), []),
        (("--parked",), []),
    ],
)
def test_they_are_filtered(server: Server, filter: tuple[str, ...], found: list[str]) -> None:
    assert dead(server.cwd, *filter) == found


def test_they_are_grouped_by_root_cause(server: Server) -> None:
    groups = busway("dead", "groups", "--json", cwd=server.cwd).json()["items"]
    assert [(one["count"], one["cause"]) for one in groups] == [
        (2, "ZeroDivisionError in shop.py:orders: division by zero"),
        (1, "KeyError in shop.py:orders: id"),
    ]
    assert [(one["dead"], one["parked"]) for one in groups] == [(2, 0), (1, 0)]
    assert (groups[1]["example_id"], groups[1]["example_reason"]) == ("b", "'id'")
    assert dead(server.cwd, "--fingerprint", groups[0]["fingerprint"]) == ["a", "c"]
    text = busway("dead", "groups", "--flow", "orders", cwd=server.cwd).out
    assert "KeyError in shop.py:orders: id" in text.splitlines()[2]
    assert f"{groups[1]['example']}  KeyError: 'id'" in text
    assert text.splitlines()[-1] == "3 dead, 0 parked"


def test_all_are_discarded_only_after_a_yes(server: Server) -> None:
    ended = busway("dead", "discard", "--all", "--reason", "x", cwd=server.cwd)
    assert (ended.code, ended.out) == (1, "")
    assert "this discards 3 dead letters for good" in ended.err
    assert "add --yes" in ended.err
    for answer in ("", "n"):
        said = in_a_terminal(answer, "dead", "discard", "--all", "--reason", "x", cwd=server.cwd)
        assert "Discard 3 dead letters for good? [y/N]" in said
    assert dead(server.cwd) == ["a", "b", "c"]


def test_one_is_shown_with_payload_error_and_attempts(server: Server) -> None:
    (one,) = busway("dead", "show", "b", "--json", cwd=server.cwd).json()["items"]
    assert one["event"]["data"] == {}
    assert [failure["attempt"] for failure in one["failures"]] == [1, 2]
    assert one["failures"][1]["error"] == "KeyError"
    assert "shop.py" in one["failures"][1]["traceback"]
    text = busway("dead", "show", one["dead_letter"]["place"], cwd=server.cwd).out
    assert '"data": {}' in text
    assert "attempts 1 to 2 from " in text
    assert "(2 times)" in text
    assert text.count("Traceback") == 1


def test_one_that_is_not_there_is_told(server: Server) -> None:
    for command in ("show", "redrive", "discard", "edit"):
        reason = ("--reason", "x") if command == "discard" else ()
        ended = busway("dead", command, "zzz", *reason, cwd=server.cwd)
        assert (ended.code, ended.out) == (1, "")
        says = "busway: there is no dead letter 'zzz'; `busway dead list` shows them\n"
        assert ended.err == says


def test_which_ones_must_be_said(server: Server) -> None:
    for arguments in ((), ("a", "--all")):
        ended = busway("dead", "discard", *arguments, "--reason", "x", cwd=server.cwd)
        assert ended.code == 1
        assert "give event ids, a filter like --flow, or --all" in ended.err
    ended = busway("dead", "discard", "a", cwd=server.cwd)
    assert (ended.code, "say why they are discarded" in ended.err) == (1, True)
    assert dead(server.cwd) == ["a", "b", "c"]


def test_a_patch_is_looked_at_first(server: Server) -> None:
    (server.cwd / "mend.py").write_text(MEND)
    preview = busway("dead", "patch", "mend.py", "--all", cwd=server.cwd)
    assert preview.out.count('+    "id": 7') == 2
    assert "KeyError: 'id' (line 2)" in preview.out
    assert "2 changed, 0 unchanged, 1 failed. Nothing is changed yet" in preview.out
    found = busway("dead", "patch", "mend.py", "--key", "k", "--json", cwd=server.cwd).json()
    assert [(one["id"], one["effect"]) for one in found["items"]] == [("c", "changed")]
    assert dead(server.cwd, "--where", "data.id=0") == ["a", "c"]


def test_they_are_discarded_and_redriven_to_the_mended_flow(tmp_path: Path) -> None:
    with with_dead_letters(tmp_path) as server:
        discard_and_redrive(server)


def test_what_is_parked_is_told(tmp_path: Path) -> None:
    retried = FLOWS.replace("first=0.01, attempts=2", "first=3600.0, cap=3600.0, attempts=9")
    assert retried != FLOWS
    (tmp_path / "shop.py").write_text(retried)
    with running("shop.py", cwd=tmp_path) as server:
        server.post({"id": "a", "data": {"id": 0}}, {"id": "b", "data": {"id": 0}})
        until(lambda: status(tmp_path)[2] == 2, "two are parked")
        groups = busway("dead", "groups", cwd=tmp_path)
        assert "0 dead, 2 parked (parked events have attempts left" in groups.out, groups
        assert busway("dead", "list", cwd=tmp_path).out == "No dead letters; 2 parked (--parked).\n"
        (group,) = busway("dead", "groups", "--json", cwd=tmp_path).json()["items"]
        assert (group["state"], group["dead"], group["parked"]) == ("parked", 0, 2)


def test_all_are_discarded_after_a_yes(tmp_path: Path) -> None:
    with with_dead_letters(tmp_path) as server:
        said = in_a_terminal("y", "dead", "discard", "--all", "--reason", "x", cwd=server.cwd)
        assert "Discard 3 dead letters for good? [y/N]" in said
        until(lambda: status(server.cwd)[-1] == 3, "they are discarded")
        assert busway("dead", "groups", cwd=server.cwd).out.startswith("No dead letters")
        ended = busway("dead", "discard", "--all", "--yes", "--reason", "x", cwd=server.cwd)
        assert ended.code == 0, ended


def discard_and_redrive(server: Server) -> None:
    told = busway("dead", "discard", "b", "--reason", "a test", cwd=server.cwd)
    assert told.out == "1 discarded\n"
    assert dead(server.cwd) == ["a", "c"]
    (server.cwd / "shop.py").write_text(MENDED)
    until(lambda: "flows reloaded" in server.log, "the reload")
    redriven = busway(
        "dead", "redrive", "--flow", "orders", "--wait", "--json", cwd=server.cwd
    ).json()
    assert (redriven["job"]["state"], redriven["job"]["done"]) == ("done", 2)
    file = server.cwd / "orders.jsonl"
    until(lambda: len(file.read_text().splitlines()) == 3, "the others are delivered")
    until(lambda: status(server.cwd) == (4, 3, 0, 0, 1), "all are settled")
    assert busway("check", cwd=server.cwd).code == 0
    trail = busway("audit", "dead", "--json", cwd=server.cwd).json()["items"]
    assert [(one["action"], one["reason"]) for one in trail] == [
        ("dead redrive", ""),
        ("dead discard", "a test"),
    ]
    assert sorted(trail[0]["before"]["places"]) == trail[0]["before"]["places"]
    assert "a test" in busway("audit", cwd=server.cwd).out
    assert redriven["job"]["id"] in busway("jobs", cwd=server.cwd).out


def test_one_is_edited_in_the_editor_and_by_a_file(tmp_path: Path) -> None:
    with with_dead_letters(tmp_path) as server:
        edit_and_redrive(server)


def edit_and_redrive(server: Server) -> None:
    sed = """sed -i 's/"id": 0/"id": 4/'"""
    told = busway("dead", "edit", "a", cwd=server.cwd, EDITOR=sed)
    assert "is edited" in told.out, told
    assert busway("dead", "edit", "a", cwd=server.cwd, EDITOR="true").out.startswith("Nothing")
    broken = busway(
        "dead", "edit", "a", cwd=server.cwd, EDITOR="""sed -i 's/"id": "a"/"id": "z"/'"""
    )
    assert (broken.code, "id must stay 'a', not become 'z'" in broken.err) == (1, True)
    assert busway("dead", "edit", "a", "--file", "-", cwd=server.cwd, stdin="{").code == 1
    assert busway("dead", "edit", "a", cwd=server.cwd, EDITOR="false").code == 1
    assert busway("dead", "redrive", "a", "--reason", "fixed", cwd=server.cwd).out == "1 redriven\n"
    until(lambda: status(server.cwd) == (4, 2, 0, 2, 0), "it is delivered")
    assert '"share":0.25' in (server.cwd / "orders.jsonl").read_text().replace(" ", "")
    edit = busway("audit", "--action", "dead edit", "--json", cwd=server.cwd).json()["items"][0]
    assert (edit["before"]["data"], edit["after"]["data"]) == ({"id": 0}, {"id": 4})
    assert edit["actor"] == "api-token"
    assert "@" in edit["remark"]


def test_without_a_server_a_job_is_recorded_and_begins_with_the_next(tmp_path: Path) -> None:
    with with_dead_letters(tmp_path):
        pass
    (tmp_path / "shop.py").write_text(MENDED)
    told = busway("dead", "redrive", "--all", cwd=tmp_path)
    assert "no server runs on this data: it begins when one does" in told.out
    (job,) = busway("jobs", "--json", cwd=tmp_path).json()["items"]
    assert (job["state"], job["done"], job["total"]) == ("running", 0, 3)
    assert busway("dead", "stop", job["id"], cwd=tmp_path).out.count("stopped") == 1
    with running("shop.py", cwd=tmp_path):
        assert dead(tmp_path) == ["a", "b", "c"]
        assert busway("dead", "resume", job["id"], cwd=tmp_path).code == 0
        until(lambda: status(tmp_path)[1] == 3, "two are delivered")
        until(lambda: dead(tmp_path) == ["b"], "the third fails again")


def status(folder: Path) -> tuple[int, ...]:
    (flow,) = busway("status", "--json", cwd=folder).json()["flows"]
    return tuple(flow[name] for name in ("accepted", "delivered", "parked", "dead", "discarded"))


def test_an_event_id_that_looks_like_a_place_is_found(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=tmp_path) as server:
        server.post({"id": "order/7/1", "data": {"id": 0}})
        until(lambda: dead(tmp_path) == ["order/7/1"], "it is dead")
        shown = busway("dead", "show", "order/7/1", "--json", cwd=tmp_path)
        assert [one["dead_letter"]["id"] for one in shown.json()["items"]] == ["order/7/1"]
        given_up = busway("dead", "discard", "order/7/1", "--reason", "a test", cwd=tmp_path)
        assert given_up.out == "1 discarded\n"
        gone = busway("dead", "show", f"orders/0/{2**70}", cwd=tmp_path)
        assert (gone.code, "there is no dead letter" in gone.err) == (1, True), gone
