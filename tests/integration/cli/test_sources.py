"""``busway sources``: what comes from a schedule is seen, paused and resumed while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command import busway, running, until

FLOWS = """
from busway import App
from busway.sinks import console
from busway.sources import schedule

app = App("shop")
app.source(schedule("often", type="tick", every="1s", catch_up="none"))
app.source(schedule("launch", type="launch", at="2020-01-01T00:00Z"))
app.flow("ticks", when={"type": ["tick"]}, to=console())
"""


def sources(folder: Path) -> dict[str, dict[str, Any]]:
    listed = busway("sources", "--json", cwd=folder)
    assert listed.code == 0, listed.err
    return {source["name"]: source for source in listed.json()["items"]}


def test_sources_are_listed_shown_paused_and_resumed(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=tmp_path):
        until(lambda: sources(tmp_path)["often"].get("accepted", 0) >= 2, "it ticks")
        found = sources(tmp_path)
        assert list(found) == ["events", "launch", "often"]
        often, launch = found["often"], found["launch"]
        assert (often["kind"], often["type"], often["state"]) == ("reader", "schedule", "running")
        assert often["next_at"] > often["received_at"]
        assert launch["refused"] == {"missed": 1}
        assert "was already past" in launch["last_refusal"]["text"]
        shown = busway("sources", "show", "often", cwd=tmp_path).out
        assert "often (schedule, reader)" in shown
        assert "every 1s" in shown, "its position"
        table = busway("sources", cwd=tmp_path).out
        assert "was already past when it was first declared" in table

        paused = busway("sources", "pause", "often", "--reason", "too many", cwd=tmp_path)
        assert (paused.code, paused.out) == (0, "often is paused: too many\n")
        until(lambda: "source closed" in (tmp_path / "stderr.log").read_text(), "it is closed")
        before = sources(tmp_path)["often"]
        assert (before["state"], before["state_reason"]) == ("paused", "too many")

        resumed = busway("sources", "resume", "often", cwd=tmp_path)
        assert (resumed.code, resumed.out) == (0, "often is running\n")
        more = before["accepted"] + 2
        until(lambda: sources(tmp_path)["often"]["accepted"] >= more, "it ticks again")
        audit = busway("audit", "source/often", "--json", cwd=tmp_path).out
        assert audit.index('"resume"') < audit.index('"pause"')


def test_what_cannot_be_is_refused_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(FLOWS)
    with running("shop.py", cwd=tmp_path) as server:
        assert server.stop() == 0
    wrong = busway("sources", "pause", "oftn", cwd=tmp_path)
    assert wrong.code == 1
    assert "there is no source 'oftn'; did you mean 'often'?" in wrong.err
    skipped = busway("sources", "resume", "often", "--skip-gap", cwd=tmp_path)
    assert skipped.code == 1
    assert "source 'often' is not stopped by a gap" in skipped.err
    paused = busway("sources", "pause", "often", "--for", "2h", cwd=tmp_path)
    assert "Nothing runs here now: it holds from the next start on." in paused.out
    assert sources(tmp_path)["often"]["state"] == "paused"
