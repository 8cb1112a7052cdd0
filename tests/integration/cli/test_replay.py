"""``busway replay``, by the real command on a real server."""

from __future__ import annotations

from pathlib import Path

from command import busway, running, select, until

FLOWS = """
from busway import App
from busway.sinks import sqlite
app = App("shop")
@app.flow(when={"type": ["order.created"]}, to=sqlite("shop.db", table="t", create=True))
def orders(event):
    return {"n": event.data["n"]}
"""


def delivered(folder: Path) -> int:
    (flow,) = busway("status", "--json", cwd=folder).json()["flows"]
    return int(flow["delivered"])


def test_it_is_counted_replayed_and_forgotten(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=tmp_path) as server:
        server.post(*({"id": f"o{n}", "data": {"n": n}} for n in range(40)))
        until(lambda: delivered(tmp_path) == 40, "they land")
        counted = busway("replay", "start", "orders", "--from", "2h", "--dry-run", cwd=tmp_path)
        words = counted.out.split()
        assert (words[0], words[4], words[14]) == ("40", "40", "0"), counted
        assert counted.out.endswith("before; --force delivers them again\n")
        skipping = busway(
            "replay", "start", "orders", "--from", "yesterday", "--follow", cwd=tmp_path
        )
        says = "all 40 events that it selects had been delivered before; --force"
        assert f"nothing was delivered: {says}" in skipping.out, skipping
        by_id = ("replay", "start", "orders", "--id", "o7", "--id", "o8", "--force", "--follow")
        ended = busway(*by_id, "--json", cwd=tmp_path).json()
        assert (ended["state"], ended["delivered"], ended["filtered"]) == ("done", 2, 38)
        (tmp_path / "ids").write_text("o1\no2\no3\n")
        (tmp_path / "pattern").write_text('{"data": {"n": [1, 2]}}')
        files = ("--id", "@ids", "--pattern", "@pattern", "--force", "--follow")
        shown = busway("replay", "start", "orders", *files, cwd=tmp_path)
        assert "done: 40 of 40 events (100 %)" in shown.out, shown
        assert len(select(tmp_path / "shop.db", "SELECT n FROM t")) == 44
        listed = busway("replay", "list", cwd=tmp_path).out
        assert ended["id"] in listed
        assert listed.count("done") == 4  # the column's name, and three replays
        slow = busway("replay", "start", "orders", "--force", "--rate", "1/h", cwd=tmp_path).out
        id = slow.split()[1]
        assert "stopped" in busway("replay", "stop", id, cwd=tmp_path).out
        assert "running" in busway("replay", "resume", id, cwd=tmp_path).out
        refused = busway("replay", "forget", id, cwd=tmp_path)
        assert refused.code == 1
        assert f"busway replay stop {id}" in refused.err
    stopped = busway("replay", "stop", id, cwd=tmp_path)
    assert "stopped" in stopped.out, stopped
    assert "is forgotten" in busway("replay", "forget", id, cwd=tmp_path).out
    assert busway("replay", "show", id, cwd=tmp_path).code == 1


def test_what_it_does_not_understand(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=tmp_path) as server:
        server.post({"id": "o1", "data": {"n": 1}})
        ended = busway("replay", "start", "orders", "--offsets", "0:5-2", cwd=tmp_path)
        assert ended.err.startswith("busway: 0:5-2 is not a valid range of offsets")
    for option, said in (
        (("--from", "soon"), "use one of: 2026-03-01T12:00:00Z"),
        (("--from", "99999999h"), "is not a valid time"),
        (("--pattern", "@none"), "--pattern: none cannot be read"),
        (("--id", "@none"), "--id: none cannot be read"),
        (("--offsets", "1-2"), "0:100-200"),
        (("--pattern", "{"), "JSON object"),
        ((), "start the server"),
    ):
        ended = busway("replay", "start", "orders", *option, cwd=tmp_path)
        assert (ended.code, said in ended.err) == (1, True), ended


FAILING = """
from pathlib import Path
from busway import App, Reject
from busway.sinks import jsonl
app = App("shop")
@app.flow(to=jsonl("out.jsonl"))
def orders(event):
    if Path("broken").exists():
        raise Reject("no")
    return event.data
"""


def test_dead_letters_of_a_replay_are_named_by_its_lanes(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FAILING)
    with running("shop.py", cwd=tmp_path) as server:
        server.post({"id": "o1", "data": {"n": 1}}, {"id": "o2", "data": {"n": 2}})
        until(lambda: delivered(tmp_path) == 2, "they land")
        (tmp_path / "broken").touch()
        again = ("replay", "start", "orders", "--from", "2h", "--force", "--follow", "--json")
        ended = busway(*again, cwd=tmp_path).json()
        assert ended["dead"] == 2, ended
        of_replay = ("--flow", f"orders@{ended['id']}")
        assert busway("dead", "list", *of_replay, cwd=tmp_path).out.count("Reject") == 2
        place = busway("dead", "list", *of_replay, "--json", cwd=tmp_path).json()["items"][0][
            "place"
        ]
        assert "Reject: no" in busway("dead", "show", place, cwd=tmp_path).out
        (tmp_path / "broken").unlink()
        redriven = busway("dead", "redrive", *of_replay, "--wait", cwd=tmp_path)
        assert redriven.out.startswith("2 redriven"), redriven
        until(
            lambda: "No dead" in busway("dead", "list", *of_replay, cwd=tmp_path).out, "none left"
        )
        wrong = busway("dead", "list", "--flow", "ordres", cwd=tmp_path)
        assert "did you mean 'orders'?" in wrong.err, wrong
        gone = busway("dead", "list", "--flow", "orders@r0", cwd=tmp_path)
        assert "there is no replay 'r0'" in gone.err, gone
